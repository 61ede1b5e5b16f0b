#!lua flags=no-writes
-- queue/lua/show.lua: a message and a page of its jobs.
-- ARGV: 3 id, 4 first k, 5 count
-- Returns nothing, or now, t, z, envelope, c, n, r, {k, where, score, worker, x, flags, why, q, job}*.
-- include "lib/head.lua"
-- include "lib/names.lua"
-- include "lib/value.lua"
-- include "lib/queue.lua"
-- include "lib/where.lua"

local id = id_of(ARGV[3])
local first, count = int(ARGV[4], JOBS_MAX, 'first job'), int(ARGV[5], 100, 'count')
local key = p .. 'm:' .. id
local m = call('HMGET', key, 't', 'z', 'e', 'c', 'n', 'r')
if not m[5] then
  return {}
end
local reply = {clock(), m[1] or '0', m[2] or '', m[3] or '', m[4] or '0', m[5], m[6] or '0'}
for k = math.max(first, 1), math.min(first + count - 1, math.min(whole(m[4]) or 0, JOBS_MAX)) do
  local job = call('HMGET', key, 'x' .. k, 'f' .. k, 'w' .. k, 'q' .. k, 'j' .. k)
  if job[5] then
    local _, q = split_home(job[4])
    local place, score, worker = where_is(id, k, q)
    local r = #reply
    if place == 'q' and call('HEXISTS', p .. 'fz', q) == 1 then
      place = 'fz'  -- in a queue that is frozen
    end
    reply[r + 1], reply[r + 2], reply[r + 3], reply[r + 4] = k, place, score, worker
    reply[r + 5], reply[r + 6], reply[r + 7] = job[1] or '0', job[2] or '', job[3] or ''
    reply[r + 8], reply[r + 9] = q or '', job[5]
  end
end
return reply

#!lua flags=no-writes
-- queue/lua/queues.lua: a page of destination queues, for people.
-- ARGV: 3 source (dom, fz, inf), 4 cursor, 5 count.
-- Returns now, next cursor, {Q, waiting, in_hand, due, deferred, oldest, hold, frozen, err, err_at, frozen jobs}*.
-- include "lib/head.lua"
-- include "lib/value.lua"
-- include "lib/queue.lua"

local SCAN = {dom = 'ZSCAN', fz = 'HSCAN', inf = 'HSCAN'}
local source, cursor = ARGV[3] or '', str(ARGV[4], 1, 20, 'cursor')
local count = int(ARGV[5], 100, 'count')
if not SCAN[source] or not string.find(cursor, '^%d+$') or count < 1 then
  fail('BADARG source, cursor or count')
end

-- Arrival of the oldest that waits, when some have been delayed: exact for less than SAMPLE jobs (a fresh one that is not
-- among the first arrived later than all that are). Of more, the oldest of these, or the beginning of the least bucket.
local SAMPLE = 64
local function oldest_of(q)
  local jobs, least, bucket = call('ZRANGE', p .. 'q:' .. q, 0, SAMPLE - 1), nil, nil
  for _, job in ipairs(jobs) do
    local t = whole(call('HGET', p .. 'm:' .. string.sub(job, 1, 16), 't'))
    least = t and math.min(t, least or t) or least
  end
  if #jobs < SAMPLE then
    return least
  end
  for _, name in ipairs(call('HKEYS', p .. 'a:' .. q)) do
    local b = whole(name)
    bucket = b and math.min(b, bucket or b) or bucket
  end
  if bucket and (not least or least >= (bucket + 1) * BUCKET_MS) then
    least = bucket * BUCKET_MS
  end
  return least
end

-- Due and arrival of the jobs that wait; of what is frozen only the arrival.
local function heads(q, now)
  local due
  for _, from in ipairs({'-inf', BAND}) do
    local head = call('ZRANGE', p .. 'q:' .. q, from, '(' .. ICE, 'BYSCORE', 'LIMIT', 0, 1, 'WITHSCORES')
    if head[1] then
      local at = math.max(0, tonumber(head[2]))
      at = at >= BAND and at - BAND or at
      due = due and math.min(due, at) or at
    end
  end
  if call('EXISTS', p .. 'a:' .. q) == 1 then
    return due or '', oldest_of(q) or ''
  end
  return due or '', due and due <= now and due or ''
end

local now = clock()
local page = call(SCAN[source], p .. source, cursor, 'COUNT', count)
local reply = {now, page[1]}
for i = 1, #page[2], 2 do
  local q = page[2][i]
  local due, oldest = heads(q, now)
  local hold = tonumber(call('ZSCORE', p .. 'hold', q)) or 0
  local ages = call('HMGET', p .. 'a:' .. q, 'n', 'err', 'at')
  local r = #reply
  reply[r + 1], reply[r + 2] = q, call('ZCARD', p .. 'q:' .. q)
  reply[r + 3], reply[r + 4] = whole(call('HGET', p .. 'inf', q)) or 0, due
  reply[r + 5], reply[r + 6] = whole(ages[1]) or 0, oldest
  reply[r + 7], reply[r + 8] = hold > now and hold < math.huge and hold or '', call('HGET', p .. 'fz', q) or ''
  reply[r + 9], reply[r + 10] = ages[2] or '', ages[3] or ''
  reply[r + 11] = call('ZCOUNT', p .. 'q:' .. q, ICE, '+inf')
end
return reply

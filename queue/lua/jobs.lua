#!lua flags=no-writes
-- queue/lua/jobs.lua: a page of jobs, filtered, for people.
-- ARGV: 3 source (q:<Q>, bad, qz, c:<w>), 4 cursor, 5 count, 6 sender, 7 rcpt, 8 id prefix, 9 min age, 10 max age
-- Returns now, next cursor, {id, k, where, score, t, x, flags, why, q, envelope, z, job}*.
-- include "lib/head.lua"
-- include "lib/names.lua"
-- include "lib/value.lua"
-- include "lib/queue.lua"

local source, cursor = str(ARGV[3], 2, 340, 'source'), str(ARGV[4], 0, 64, 'cursor')
local count = int(ARGV[5], 100, 'count')
local sender = string.lower(str(ARGV[6], 0, 320, 'sender'))
local rcpt = string.lower(str(ARGV[7], 0, 320, 'rcpt'))
local prefix = str(ARGV[8], 0, 16, 'id')
local min_age, max_age = int(ARGV[9], DELAY_MAX, 'least age'), int(ARGV[10], DELAY_MAX, 'greatest age')
local where = string.match(source, '^([qc]):.') or source
if count < 1 or not (where == 'q' or where == 'c' or source == 'bad' or source == 'qz') then
  fail('BADARG source or count')
end

-- The page: jobs and scores in turn, and the next cursor. In a zset the cursor is the last entry seen,
-- "<score>:<J>": its rank, or when it has gone or moved meanwhile, that of its score.
local function ranked()
  local key, from = p .. source, 0
  if cursor ~= '' then
    local score, job = string.match(cursor, '^(%d+):(.+)$')
    if not score then
      fail('BADARG cursor')
    end
    local rank = call('ZSCORE', key, job) == score and call('ZRANK', key, job)
    from = rank and rank + 1 or call('ZCOUNT', key, '-inf', '(' .. score)
  end
  local page = call('ZRANGE', key, from, from + count - 1, 'WITHSCORES')
  local n = #page
  return page, n == 2 * count and page[n] .. ':' .. page[n - 1] or ''
end

local function held()
  local got = call('HSCAN', p .. source, cursor == '' and '0' or cursor, 'COUNT', count)
  for i = 2, #got[2], 2 do
    got[2][i] = split_lease(got[2][i]) or '0'
  end
  return got[2], got[1] == '0' and '' or got[1]
end

local now = clock()
local page, next_cursor = (where == 'c' and held or ranked)()
local reply = {now, next_cursor}

-- Where the page's jobs are; fz: in a queue that is frozen.
local place = where
if where == 'q' and call('HEXISTS', p .. 'fz', string.sub(source, 3)) == 1 then
  place = 'fz'
end

local function wanted(id, t, envelope, job)
  local old = now - (whole(t) or now)
  return string.sub(id, 1, #prefix) == prefix and old >= min_age and (max_age == 0 or old <= max_age)
    and (sender == '' or string.find(string.lower(envelope), sender, 1, true))
    and (rcpt == '' or string.find(string.lower(job), rcpt, 1, true))
end

for i = 1, #page, 2 do
  local id, k = split_job(page[i])
  local m = call('HMGET', p .. 'm:' .. id, 't', 'x' .. k, 'f' .. k, 'w' .. k, 'q' .. k, 'e', 'z', 'j' .. k)
  local _, q = split_home(m[5])
  if m[8] and m[6] and wanted(id, m[1], m[6], m[8]) then
    local r = #reply
    reply[r + 1], reply[r + 2], reply[r + 3], reply[r + 4] = id, k, place, page[i + 1]
    reply[r + 5], reply[r + 6], reply[r + 7] = m[1] or '0', m[2] or '0', m[3] or ''
    reply[r + 8], reply[r + 9], reply[r + 10] = m[4] or '', q or '', m[6]
    reply[r + 11], reply[r + 12] = m[7] or '', m[8]
  end
end
return reply

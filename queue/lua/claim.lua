#!lua flags=allow-oom
-- queue/lua/claim.lua: QUEUED -> IN HAND (keeps I2, I4, I5, I6)
-- ARGV: 3 worker, 4 Q, 5 max, 6 max_bytes (0: 1 MiB)
-- Returns now, more, woken, {id, k, token, x, flags, envelope, z, job, t}*
-- include "lib/head.lua"
-- include "lib/names.lua"
-- include "lib/value.lua"
-- include "lib/queue.lua"
-- include "lib/where.lua"

local FIELDS = 9  -- of a job in the reply
local worker, q = worker_of(ARGV[3]), queue_of(ARGV[4])
local max, budget = int(ARGV[5], 100, 'max'), int(ARGV[6], 2 ^ 40, 'max_bytes')
if budget == 0 then
  budget = 1048576
end
local now, text = clock()
local lease = call('ZSCORE', p .. 'wk', worker)
if not lease or tonumber(lease) <= now then
  fail('EXPIRED')
end
if max == 0 or call('ZSCORE', p .. 'hold', q) == FROZEN then
  return {now, 0, 0}
end

local zq = p .. 'q:' .. q
local jobs = call('ZRANGE', zq, '-inf', text, 'BYSCORE', 'LIMIT', '0', digits(max), 'WITHSCORES')
if #jobs < 2 * max then
  local problem = call('ZRANGE', zq, digits(BAND), digits(BAND + now), 'BYSCORE', 'LIMIT', '0', digits(max - #jobs / 2),
    'WITHSCORES')
  for i = 1, #problem do
    jobs[#jobs + 1] = problem[i]
  end
end

local taken, ghosts, reply, bytes = {}, {}, {now, 0, woken_at(q)}, 0
local fresh = '0:' .. q
for i = 1, #jobs, 2 do
  local job = jobs[i]
  local id, k = split_job(job)
  local got = call('HMGET', p .. 'm:' .. id, 'j' .. k, 'q' .. k, 'e', 'z', 'x' .. k, 'f' .. k, 't')
  local blob, home, envelope, x = got[1], got[2], got[3], got[5]
  local bucket, mine = '0', q
  if home ~= fresh then
    bucket, mine = split_home(home)
    if blob and mine ~= q and is_job(job) and where_else(id, k, q, mine) == '' then
      -- It says that it lives where it is not: it is here.
      bucket, mine = '0', q
      call('HSET', p .. 'm:' .. id, 'q' .. k, fresh)
    end
  end
  if not blob or not envelope or mine ~= q or not is_job(job) then
    -- An entry without its message, or of a job that lives elsewhere: drop it (I2).
    ghosts[#ghosts + 1] = job
  else
    bytes = bytes + #blob + #envelope
    -- Whoever was in hand when a worker died comes alone, lest it takes others along.
    if #taken > 0 and (bytes > budget or x) then
      break
    end
    taken[#taken + 1] = job
    taken[#taken + 1] = score_text(jobs[i + 1]) .. ':' .. bucket .. ':' .. q
    local r = #reply
    reply[r + 1], reply[r + 2], reply[r + 3], reply[r + 4] = id, k, '', x or '0'  -- no hole: #reply would not see it
    reply[r + 5], reply[r + 6], reply[r + 7], reply[r + 8] = got[6] or '', envelope, got[4] or '', blob
    reply[r + 9] = time_of(got[7]) and got[7] or '0'
    if x then
      break
    end
  end
end

local n = #taken / 2
if n > 0 then
  -- Not below the clock: a failover that loses the last values must not give a token twice (I4).
  local token = math.max(last_token(), now * 16)
  call('SET', p .. 'tok', digits(token + n))
  local out = {}
  for i = 1, n do
    local t = digits(token + i)
    reply[3 + (i - 1) * FIELDS + 3] = t
    out[i] = taken[2 * i - 1]
    taken[2 * i] = t .. ':' .. taken[2 * i]
  end
  call('ZREM', zq, unpack(out))
  call('HSET', p .. 'c:' .. worker, unpack(taken))
  add(p .. 'inf', q, n)
end
if #ghosts > 0 then
  call('ZREM', zq, unpack(ghosts))
  add(p .. 'st', 'ghosts', #ghosts)
end
if rescore(q, now) then
  reply[2] = 1
end
return reply

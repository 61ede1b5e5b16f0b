#!lua flags=allow-oom
-- queue/lua/reassert.lua: after a failover a worker says what it holds (keeps I2, I4, I6).
-- ARGV: 3 worker, then {id, k, token}*. Returns one a job: 1 still held, 2 taken again, 0 lost.
-- include "lib/head.lua"
-- include "lib/names.lua"
-- include "lib/value.lua"
-- include "lib/queue.lua"

local worker = worker_of(ARGV[3])
if #ARGV % 3 ~= 0 or #ARGV > 303 then
  fail('BADARG jobs')
end
for i = 4, #ARGV, 3 do
  id_of(ARGV[i])
  job_no(ARGV[i + 1])
  token_of(ARGV[i + 2])
end
local now = clock()
local ends = call('ZSCORE', p .. 'wk', worker)
if not ends or tonumber(ends) <= now then
  fail('EXPIRED')
end

-- Takes a waiting job again under its old token; the counter never falls behind a token in use.
local function retake(id, k, token)
  local job = id .. '.' .. k
  local bucket, q = split_home(call('HGET', p .. 'm:' .. id, 'q' .. k))
  local score = q and call('ZSCORE', p .. 'q:' .. q, job)
  if not score then
    return 0
  end
  call('ZREM', p .. 'q:' .. q, job)
  thaw_job(job)
  if tonumber(token) > last_token() then
    call('SET', p .. 'tok', token)
  end
  score = string.format('%.0f', tonumber(score_text(score)) % ICE)  -- who has it in hand does not know that it was frozen meanwhile
  call('HSET', p .. 'c:' .. worker, job, token .. ':' .. score .. ':' .. bucket .. ':' .. q)
  count_in_hand(q, 1)
  rescore(q, now)
  return 2
end

local reply = {}
for i = 4, #ARGV, 3 do
  local token = split_lease(call('HGET', p .. 'c:' .. worker, ARGV[i] .. '.' .. ARGV[i + 1]))
  reply[#reply + 1] = token == ARGV[i + 2] and 1 or retake(ARGV[i], ARGV[i + 1], ARGV[i + 2])
end
return reply

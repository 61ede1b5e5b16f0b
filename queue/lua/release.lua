#!lua flags=allow-oom
-- queue/lua/release.lua: IN HAND -> QUEUED, untouched (keeps I2, I6).
-- ARGV: 3 worker, then {id, k, token, delay}*. Returns one a job: 1, or 0 stale.
-- include "lib/head.lua"
-- include "lib/names.lua"
-- include "lib/value.lua"
-- include "lib/queue.lua"
-- include "lib/giveback.lua"

local worker = worker_of(ARGV[3])
if #ARGV % 4 ~= 3 or #ARGV > 403 then
  fail('BADARG jobs')
end
for i = 4, #ARGV, 4 do
  id_of(ARGV[i])
  job_no(ARGV[i + 1])
  token_of(ARGV[i + 2])
  int(ARGV[i + 3], DELAY_MAX, 'delay')
end
local now, reply = clock(), {}
for i = 4, #ARGV, 4 do
  local job = ARGV[i] .. '.' .. ARGV[i + 1]
  local token, score, bucket, q = split_lease(call('HGET', p .. 'c:' .. worker, job))
  if token == ARGV[i + 2] then
    give_back(worker, job, score, bucket, q, delay_since(q, token, tonumber(ARGV[i + 3])), now)
    reply[#reply + 1] = 1
  else
    reply[#reply + 1] = 0
  end
end
return reply

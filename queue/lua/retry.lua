#!lua flags=allow-oom
-- queue/lua/retry.lua: an operator wants all of a queue tried now (keeps I5, I8): it is seen and woken, and what waits
-- for another try is due, a bounded number a call. What is due stays where it is.
-- ARGV: 3 history, 4 Q, 5 text, 6 first (1: count what waits, else 0). Returns waiting, more (1: call again).
-- include "lib/head.lua"
-- include "lib/names.lua"
-- include "lib/queue.lua"
-- include "lib/record.lua"

local MAX = 200
local history, q = int(ARGV[3], 1e8, 'history') and ARGV[3], queue_of(ARGV[4])
local text, first = str(ARGV[5], 0, 256, 'text'), int(ARGV[6], 1, 'first')
local now, key = clock(), p .. 'q:' .. q

local waiting = 0
if first == 1 then
  waiting = call('ZCARD', key)
  wake_queue(q, now)
  if call('ZSCORE', p .. 'hold', q) ~= FROZEN then
    call('ZREM', p .. 'hold', q)
  end
end
local jobs = call('ZRANGE', key, '(' .. now, '(' .. BAND, 'BYSCORE', 'LIMIT', 0, MAX)
local due = #jobs
if due < MAX then
  for _, job in ipairs(call('ZRANGE', key, '(' .. BAND + now, '+inf', 'BYSCORE', 'LIMIT', 0, MAX - due)) do
    jobs[#jobs + 1] = job
  end
end
local args = {}
for i, job in ipairs(jobs) do
  args[2 * i - 1], args[2 * i] = now, job
  track(history, (split_job(job)), 'retry', q, text)
end
if #args > 0 then
  call('ZADD', key, unpack(args))
end
rescore(q, now)
return {waiting, #jobs == MAX and 1 or 0}

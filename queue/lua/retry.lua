#!lua flags=allow-oom
-- queue/lua/retry.lua: an operator wants all of a queue tried now (keeps I5, I8): it is seen and woken, and what waits
-- for another try is due, a bounded number a call. What is due stays where it is, and so does what is frozen.
-- ARGV: 3 history, 4 Q, 5 text, 6 first (1: count what waits, else 0). Returns waiting, more (1: call again).
-- include "lib/head.lua"
-- include "lib/names.lua"
-- include "lib/value.lua"
-- include "lib/queue.lua"
-- include "lib/record.lua"

local MAX = 200
local history, q = int(ARGV[3], 1e8, 'history') and ARGV[3], queue_of(ARGV[4])
local text, first = str(ARGV[5], 0, 256, 'text'), int(ARGV[6], 1, 'first')
local now = clock()

local waiting = 0
if first == 1 then
  waiting = call('ZCOUNT', p .. 'q:' .. q, '-inf', '(' .. ICE)
  wake_queue(q, now)
  end_hold(q)
end
local due = make_due(q, now, '(' .. BAND, MAX, now)
local problems = #due < MAX and make_due(q, BAND + now, '(' .. ICE, MAX - #due, now) or {}
for _, jobs in ipairs({due, problems}) do
  for _, job in ipairs(jobs) do
    track(history, (split_job(job)), 'retry', q, text)
  end
end
rescore(q, now)
return {waiting, #due + #problems == MAX and 1 or 0}

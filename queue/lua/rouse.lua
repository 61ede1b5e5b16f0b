#!lua flags=allow-oom
-- queue/lua/rouse.lua: a queue has another way now: its hold ends, and jobs that wait for another try are
-- due (keeps I5, I8). Problem jobs keep their times, and a frozen queue stays so.
-- ARGV: 3 Q. Returns 1: there are more, ask again; 0.
-- include "lib/head.lua"
-- include "lib/names.lua"
-- include "lib/queue.lua"

local q, max = queue_of(ARGV[3]), 500
local now = clock()
if call('ZSCORE', p .. 'hold', q) == FROZEN then
  return 0
end
call('ZREM', p .. 'hold', q)
local later = call('ZRANGE', p .. 'q:' .. q, '(' .. now, '(' .. BAND, 'BYSCORE', 'LIMIT', 0, max)
local args = {}
for i, job in ipairs(later) do
  args[2 * i - 1], args[2 * i] = now, job
end
if #args > 0 then
  call('ZADD', p .. 'q:' .. q, unpack(args))
end
rescore(q, now)
return #later == max and 1 or 0

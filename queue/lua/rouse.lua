#!lua flags=allow-oom
-- queue/lua/rouse.lua: a queue has another way now: its hold ends, jobs that wait for another try are due, and what is in
-- hand comes back without a delay (keeps I5, I8). Problem jobs keep their times, and a frozen queue stays so.
-- ARGV: 3 Q. Returns 1: there are more, ask again; 0.
-- include "lib/head.lua"
-- include "lib/names.lua"
-- include "lib/value.lua"
-- include "lib/queue.lua"

local q, max = queue_of(ARGV[3]), 500
local now = clock()
if not end_hold(q) then
  return 0
end
wake_queue(q, now)
local later = make_due(q, now, '(' .. BAND, max, now)
rescore(q, now)
return #later == max and 1 or 0

#!lua flags=allow-oom
-- queue/lua/hold.lua: hides a queue from discover for a while (keeps I5).
-- ARGV: 3 Q, 4 delay (0: no longer). Returns 1.
-- include "lib/head.lua"
-- include "lib/names.lua"
-- include "lib/queue.lua"

local q, delay = queue_of(ARGV[3]), int(ARGV[4], DELAY_MAX, 'delay')
if call('ZSCORE', p .. 'hold', q) == FROZEN then
  return 1
end
local now = clock()
if delay > 0 then
  call('ZADD', p .. 'hold', now + delay, q)
else
  call('ZREM', p .. 'hold', q)
end
rescore(q, now)
return 1

#!lua flags=allow-oom
-- queue/lua/hold.lua: hides a queue from discover for a while (keeps I5).
-- ARGV: 3 Q, 4 delay (0: no longer). Returns 1.
-- include "lib/head.lua"
-- include "lib/names.lua"
-- include "lib/queue.lua"

local q, delay = queue_of(ARGV[3]), int(ARGV[4], DELAY_MAX, 'delay')
if call('HGET', p .. 'hold', q) == 'frozen' then
  return 1
end
local now = clock()
if delay > 0 then
  call('HSET', p .. 'hold', q, string.format('%.0f', now + delay))
else
  call('HDEL', p .. 'hold', q)
end
rescore(q, now)
return 1

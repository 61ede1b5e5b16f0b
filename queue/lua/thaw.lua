#!lua flags=allow-oom
-- queue/lua/thaw.lua: ends a freeze (keeps I5, I10).
-- ARGV: 3 Q. Returns 1, or 0 was not frozen.
-- include "lib/head.lua"
-- include "lib/names.lua"
-- include "lib/value.lua"
-- include "lib/queue.lua"

local q = queue_of(ARGV[3])
if call('ZSCORE', p .. 'hold', q) ~= FROZEN then
  return 0
end
call('ZREM', p .. 'hold', q)
call('HDEL', p .. 'fz', q)
rescore(q, clock())
return 1

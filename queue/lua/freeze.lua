#!lua flags=allow-oom
-- queue/lua/freeze.lua: nothing is claimed from a queue until thaw (keeps I5, I10).
-- ARGV: 3 Q, 4 by, 5 reason. Returns 1, or 0 was frozen.
-- include "lib/head.lua"
-- include "lib/names.lua"
-- include "lib/value.lua"
-- include "lib/queue.lua"

local q = queue_of(ARGV[3])
local by, reason = str(ARGV[4], 0, 64, 'by'), str(ARGV[5], 0, 256, 'reason')
if call('ZSCORE', p .. 'hold', q) == FROZEN then
  return 0
end
call('HSET', p .. 'fz', q, string.format('%.0f', clock()) .. '\n' .. by .. '\n' .. reason)
call('ZADD', p .. 'hold', FROZEN, q)
call('ZREM', p .. 'dom', q)
return 1

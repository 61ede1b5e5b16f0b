#!lua flags=allow-oom
-- queue/lua/hold.lua: hides a queue from discover for a while (keeps I5).
-- ARGV: 3 Q, 4 delay, 5 token of a claim (0: always): without effect when it was woken after that.
-- Returns 1, or 0 without effect.
-- include "lib/head.lua"
-- include "lib/names.lua"
-- include "lib/value.lua"
-- include "lib/queue.lua"

local q, delay = queue_of(ARGV[3]), int(ARGV[4], DELAY_MAX, 'delay')
local token = int(ARGV[5], 2 ^ 53, 'token')
if call('ZSCORE', p .. 'hold', q) == FROZEN or (token > 0 and woken_after(q, token)) then
  return 0
end
local now = clock()
call('ZADD', p .. 'hold', now + delay, q)
rescore(q, now)
return 1

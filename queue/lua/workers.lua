#!lua flags=no-writes
-- queue/lua/workers.lua: who has leases here.
-- Returns now, {worker, lease end, jobs in hand}*, at most 1000 workers.
-- include "lib/head.lua"

local reply = {(clock())}
local all = call('ZRANGE', p .. 'wk', 0, 999, 'WITHSCORES')
for i = 1, #all, 2 do
  local r = #reply
  reply[r + 1], reply[r + 2], reply[r + 3] = all[i], all[i + 1], call('HLEN', p .. 'c:' .. all[i])
end
return reply

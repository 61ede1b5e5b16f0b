#!lua flags=allow-oom
-- queue/lua/held.lua: queues with a hold that are not frozen; the hold may be over.
-- ARGV: 3 cursor. Returns next cursor, then {Q, waiting and in hand}*: what is in hand may be about to come back late.
-- include "lib/head.lua"
-- include "lib/value.lua"
-- include "lib/queue.lua"

local cursor = int(ARGV[3], 2 ^ 53, 'cursor') and ARGV[3]
local page = call('ZSCAN', p .. 'hold', cursor, 'COUNT', 100)
local found = {page[1]}
for i = 1, #page[2], 2 do
  local q, depth = page[2][i], 0
  if page[2][i + 1] ~= FROZEN then
    depth = call('ZCARD', p .. 'q:' .. q) + (tonumber(call('HGET', p .. 'inf', q)) or 0)
  end
  if depth > 0 and #found < 511 then
    local f = #found
    found[f + 1], found[f + 2] = q, depth
  end
end
return found

#!lua flags=no-writes
-- queue/lua/members.lua: a page of nodes and workers.
-- ARGV: 3 cursor, 4 count. Returns now, next cursor, {worker, lease end, slots, info}*.
-- include "lib/head.lua"
-- include "lib/value.lua"

local cursor, count = str(ARGV[3], 1, 20, 'cursor'), int(ARGV[4], 100, 'count')
if not string.find(cursor, '^%d+$') then
  fail('BADARG cursor')
end
local page = call('ZSCAN', p .. 'w', cursor, 'COUNT', math.max(count, 1))
local reply = {clock(), page[1]}
for i = 1, #page[2], 2 do
  local who, slots, r = page[2][i], 0, #reply
  for _, n in ipairs(call('HVALS', p .. 'h:' .. who)) do
    slots = slots + (whole(n) or 0)
  end
  reply[r + 1], reply[r + 2] = who, page[2][i + 1]
  reply[r + 3], reply[r + 4] = slots, call('GET', p .. 'i:' .. who) or ''
end
return reply

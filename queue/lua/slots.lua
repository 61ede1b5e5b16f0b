#!lua flags=no-writes
-- queue/lua/slots.lua: a page of the slots in use.
-- ARGV: 3 cursor, 4 count. Returns now, next cursor, total, {link, in use}*.
-- include "lib/head.lua"
-- include "lib/value.lua"

local cursor, count = str(ARGV[3], 1, 20, 'cursor'), int(ARGV[4], 1000, 'count')
if not string.find(cursor, '^%d+$') then
  fail('BADARG cursor')
end
local page = call('HSCAN', p .. 'd', cursor, 'COUNT', math.max(count, 1))
local reply = {clock(), page[1], whole(call('GET', p .. 't')) or 0}
for i = 1, #page[2], 2 do
  local r = #reply
  reply[r + 1], reply[r + 2] = page[2][i], tostring(whole(page[2][i + 1]) or 0)
end
return reply

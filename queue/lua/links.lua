#!lua flags=no-writes
-- queue/lua/links.lua: a page of the links that fail.
-- ARGV: 3 cursor, 4 count. Returns now, next cursor, {link, failures, until, error, since}*.
-- include "lib/head.lua"
-- include "lib/value.lua"

local cursor, count = str(ARGV[3], 1, 20, 'cursor'), int(ARGV[4], 100, 'count')
if not string.find(cursor, '^%d+$') then
  fail('BADARG cursor')
end
local page = call('ZSCAN', p .. 'ls', cursor, 'COUNT', math.max(count, 1))
local reply = {clock(), page[1]}
for i = 1, #page[2], 2 do
  local l, r = call('HMGET', p .. 'l:' .. page[2][i], 'f', 'u', 'e', 's'), #reply
  if l[1] then
    reply[r + 1], reply[r + 2], reply[r + 3] = page[2][i], whole(l[1]) and l[1] or '0', whole(l[2]) and l[2] or '0'
    reply[r + 4], reply[r + 5] = l[3] or '', whole(l[4]) and l[4] or '0'
  end
end
return reply

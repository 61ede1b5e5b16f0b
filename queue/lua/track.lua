#!lua flags=no-writes
-- queue/lua/track.lua: a page of the history.
-- ARGV: 3 id ("" : all), 4 cursor, 5 count. Returns next cursor, {stream id, id, event, Q, text}*.
-- include "lib/head.lua"
-- include "lib/names.lua"

local id, cursor, count = ARGV[3], ARGV[4] or '', int(ARGV[5], 1000, 'count')
if id ~= '' then
  id_of(id)
end
if cursor ~= '-' and not string.find(cursor, '^%d+%-%d+$') or #cursor > 42 or count < 1 then
  fail('BADARG cursor')
end
local from = cursor == '-' and '-' or '(' .. cursor
local page = call('XRANGE', p .. 'ev', from, '+', 'COUNT', count)
local reply = {#page == count and page[count][1] or ''}
for _, entry in ipairs(page) do
  local of = {}
  for i = 1, #entry[2], 2 do
    of[entry[2][i]] = entry[2][i + 1]
  end
  if id == '' or of.i == id then
    local r = #reply
    reply[r + 1], reply[r + 2], reply[r + 3] = entry[1], of.i or '', of.v or ''
    reply[r + 4], reply[r + 5] = of.q or '', of.t or ''
  end
end
return reply

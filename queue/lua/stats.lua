#!lua flags=no-writes
-- queue/lua/stats.lua: counters of a partition. Returns {name, value}*.
-- include "lib/head.lua"

local reply, have = call('HGETALL', p .. 'st'), {}
for i = 1, #reply, 2 do
  have[reply[i]] = tonumber(reply[i + 1])
end
local function add(name, value)
  local r = #reply
  reply[r + 1], reply[r + 2] = name, value
end
add('jobs', (have.accepted or 0) + (have.extra or 0))
add('ended', (have.gone or 0) + (have.early or 0))
add('schema', schema)
add('queues', call('ZCARD', p .. 'dom'))
add('frozen', call('HLEN', p .. 'fz'))
add('frozen_jobs', call('ZCARD', p .. 'ice'))
add('badmail_now', call('ZCARD', p .. 'bad'))
add('quarantine_now', call('ZCARD', p .. 'qz'))
add('workers', call('ZCARD', p .. 'wk'))
add('token', call('GET', p .. 'tok') or '0')
add('events', call('XLEN', p .. 'ev'))
add('spreading', call('ZCARD', p .. 'sp'))
local in_hand = 0
for _, w in ipairs(call('ZRANGE', p .. 'wk', 0, 999)) do
  in_hand = in_hand + call('HLEN', p .. 'c:' .. w)
end
add('in_hand', in_hand)
add('now', clock())
return reply

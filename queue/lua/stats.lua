#!lua flags=no-writes
-- queue/lua/stats.lua: counters of a partition. Returns {name, value}*.
-- include "lib/head.lua"

local reply = call('HGETALL', p .. 'st')
local function add(name, value)
  reply[#reply + 1], reply[#reply + 2] = name, value
end
add('schema', schema)
add('queues', call('ZCARD', p .. 'dom'))
add('frozen', call('HLEN', p .. 'fz'))
add('badmail_now', call('ZCARD', p .. 'bad'))
add('quarantine_now', call('ZCARD', p .. 'qz'))
add('workers', call('ZCARD', p .. 'wk'))
add('token', call('GET', p .. 'tok') or '0')
add('events', call('XLEN', p .. 'ev'))
add('spreading', call('ZCARD', p .. 'sp'))
add('now', clock())
return reply

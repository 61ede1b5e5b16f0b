#!lua flags=no-writes
-- queue/lua/stats.lua: counters of a partition. Returns {name, value}*.
-- include "lib/head.lua"
-- include "lib/value.lua"

local reply, have = call('HGETALL', p .. 'st'), {}
for i = 1, #reply, 2 do
  have[reply[i]] = whole(reply[i + 1]) or 0
  reply[i + 1] = string.format('%.0f', have[reply[i]])
end
local function say(name, value)
  local r = #reply
  reply[r + 1], reply[r + 2] = name, value
end
say('jobs', (have.accepted or 0) + (have.extra or 0))
say('ended', (have.gone or 0) + (have.early or 0))
say('schema', schema)
say('queues', call('ZCARD', p .. 'dom'))
say('frozen', call('HLEN', p .. 'fz'))
say('frozen_jobs', call('ZCARD', p .. 'ice'))
say('badmail_now', call('ZCARD', p .. 'bad'))
say('quarantine_now', call('ZCARD', p .. 'qz'))
say('workers', call('ZCARD', p .. 'wk'))
say('token', string.format('%.0f', whole(call('GET', p .. 'tok')) or 0))
say('events', call('XLEN', p .. 'ev'))
say('spreading', call('ZCARD', p .. 'sp'))
local in_hand = 0
for _, w in ipairs(call('ZRANGE', p .. 'wk', 0, 999)) do
  in_hand = in_hand + call('HLEN', p .. 'c:' .. w)
end
say('in_hand', in_hand)
say('now', clock())
return reply

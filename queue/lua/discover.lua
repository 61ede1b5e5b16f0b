#!lua flags=allow-oom
-- queue/lua/discover.lua: queues with due jobs, least recently served first (mends I5).
-- ARGV: 3 max, 4 from: so many of the first ones are left out. Returns {Q, waiting}*.
-- include "lib/head.lua"

local max, from = int(ARGV[3], 256, 'max'), ARGV[4] and int(ARGV[4], 1000000, 'from') or 0
local _, now = clock()
local due = call('ZRANGE', p .. 'dom', '-inf', now, 'BYSCORE', 'LIMIT', digits(from), digits(max))
local found = {}
for _, q in ipairs(due) do
  local depth = call('ZCARD', p .. 'q:' .. q)
  if depth > 0 then
    local f = #found
    found[f + 1], found[f + 2] = q, depth
  else
    call('ZREM', p .. 'dom', q)
  end
end
return found

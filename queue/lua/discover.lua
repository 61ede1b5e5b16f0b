#!lua flags=allow-oom
-- queue/lua/discover.lua: queues with due jobs, least recently served first (mends I5).
-- ARGV: 3 max. Returns {Q, waiting}*.
-- include "lib/head.lua"

local max = int(ARGV[3], 256, 'max')
local due = call('ZRANGE', p .. 'dom', '-inf', clock(), 'BYSCORE', 'LIMIT', 0, max)
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

#!lua flags=allow-oom
-- queue/lua/slotcheck.lua: proves I11, and mends it.
-- ARGV: 3 repair, then members that have slots (found by SCAN of h:*). Returns findings as check does.
-- include "lib/head.lua"
-- include "lib/value.lua"
-- include "lib/some.lua"
-- include "lib/slots.lua"

local repair = int(ARGV[3], 1, 'repair') == 1
local LEASE_MAX = 7200000
local findings, links, sum = {}, {}, 0

local function found(name, what, mend)
  if repair then
    mend()
    what = what .. ' (mended)'
  end
  findings[#findings + 1] = 'I11 ' .. name .. ' ' .. what
end

if #ARGV > 1003 then
  fail('BADARG members')
end
for i = 4, #ARGV do
  local who = member_of(ARGV[i])
  if call('EXISTS', p .. 'h:' .. who) == 1 and not call('ZSCORE', p .. 'w', who) then
    found(who, 'holds slots without a lease', function()
      call('ZADD', p .. 'w', 0, who)
    end)
  end
end
local counted = {}
local function count(who)
  local held = counted[who] and {} or call('HGETALL', p .. 'h:' .. who)
  counted[who] = true
  for i = 1, #held, 2 do
    local n = whole(held[i + 1]) or 0
    if n > 0 then
      links[held[i]] = (links[held[i]] or 0) + n
      sum = sum + n
    else
      found(who, 'holds ' .. n .. ' slots of ' .. held[i], function()
        call('HDEL', p .. 'h:' .. who, held[i])
      end)
    end
  end
end
for _, who in ipairs(call('ZRANGE', p .. 'w', 0, -1)) do
  count(who)
end
for _, who in ipairs(call('ZRANGE', p .. 'w', '(' .. clock() + LEASE_MAX, '+inf', 'BYSCORE')) do
  found(who, 'has a lease that nobody gave', function()
    call('ZADD', p .. 'w', clock() + LEASE_MAX, who)
  end)
end
for i = 4, #ARGV do
  count(ARGV[i])
end
local counts = call('HGETALL', p .. 'd')
local have = {}
for i = 1, #counts, 2 do
  local link, n = counts[i], whole(counts[i + 1]) or 0
  have[link] = true
  if links[link] ~= n or n < 1 then
    found(link, 'says ' .. n .. ' slots in use, it is ' .. (links[link] or 0), function()
      call('HDEL', p .. 'd', link)
      if (links[link] or 0) > 0 then
        call('HSET', p .. 'd', link, links[link])
      end
    end)
  end
end
for link, n in pairs(links) do
  if not have[link] then
    found(link, 'says 0 slots in use, it is ' .. n, function()
      call('HSET', p .. 'd', link, n)
    end)
  end
end
if (whole(call('GET', p .. 't') or '0') or -1) ~= sum then
  found('total', 'is not the sum of what is held', function()
    call('SET', p .. 't', sum)
  end)
end
return findings

-- lib/slots.lua: slots in use, exact in three places at once (I11).
local function member_of(s)
  if not s or #s < 1 or #s > 64 or string.find(s, '[^%w_-]') then
    fail('BADARG worker')
  end
  return s
end

local function link_of(s)
  return str(s, 1, 320, 'link')
end

-- Adds by (which may be negative) to what a member holds of a link.
local function use(member, link, by)
  if call('HINCRBY', p .. 'h:' .. member, link, by) <= 0 then
    call('HDEL', p .. 'h:' .. member, link)
  end
  if call('HINCRBY', p .. 'd', link, by) <= 0 then
    call('HDEL', p .. 'd', link)
  end
  call('INCRBY', p .. 't', by)
end

-- Takes slots back from members whose lease has ended, about max links. Returns how many.
local function reclaim(max, now)
  local taken = 0
  for _, member in ipairs(call('ZRANGE', p .. 'w', '-inf', now, 'BYSCORE', 'LIMIT', 0, 4)) do
    if taken >= max then
      break
    end
    call('ZADD', p .. 'w', 0, member)  -- from here on its renewals fail
    local key = p .. 'h:' .. member
    local held = some_of(key, max - taken)
    for i = 1, #held, 2 do
      use(member, held[i], -tonumber(held[i + 1]))
    end
    taken = taken + #held / 2
    if call('EXISTS', key) == 0 then
      call('ZREM', p .. 'w', member)
      call('DEL', p .. 'i:' .. member)
    end
  end
  return taken
end

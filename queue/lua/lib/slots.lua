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

-- Slots that a member holds of a link.
local function held_by(member, link)
  return whole(call('HGET', p .. 'h:' .. member, link)) or 0
end

-- Slots in use of a link, and in total. What is no number is counted again, so that a cap holds all the same.
local function in_use(link)
  local n = call('HGET', p .. 'd', link)
  if not n or whole(n) then
    return whole(n) or 0
  end
  local sum = 0
  for _, member in ipairs(call('ZRANGE', p .. 'w', 0, -1)) do
    sum = sum + held_by(member, link)
  end
  call('HSET', p .. 'd', link, sum)
  return sum
end

local function total()
  local n, sum = call('GET', p .. 't'), 0
  if not n or whole(n) then
    return whole(n) or 0
  end
  for _, of_link in ipairs(call('HVALS', p .. 'd')) do
    sum = sum + (whole(of_link) or 0)
  end
  call('SET', p .. 't', sum)
  return sum
end

-- Adds by (which may be negative) to what a member holds of a link.
local function use(member, link, by)
  if add(p .. 'h:' .. member, link, by) <= 0 then
    call('HDEL', p .. 'h:' .. member, link)
  end
  local n = redis.pcall('HINCRBY', p .. 'd', link, by)
  if (type(n) == 'number' and n or in_use(link)) <= 0 then
    call('HDEL', p .. 'd', link)
  end
  if type(redis.pcall('INCRBY', p .. 't', by)) ~= 'number' then
    total()
  end
end

-- All that a member holds of a link; n: what the store says of that.
local function give_back(member, link, n)
  if whole(n) then
    use(member, link, -whole(n))
  else
    call('HDEL', p .. 'h:' .. member, link)
  end
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
      give_back(member, held[i], held[i + 1])
    end
    taken = taken + #held / 2
    if call('EXISTS', key) == 0 then
      call('ZREM', p .. 'w', member)
      call('DEL', p .. 'i:' .. member)
    end
  end
  return taken
end

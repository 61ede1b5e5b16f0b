-- lib/record.lua: what ended lately (keys fin:<epoch>, I7), counters and tracking.
local EPOCH_MS = 150000

local function fin_key(now, ago)
  return p .. 'fin:' .. digits(math.floor(now / EPOCH_MS) - ago)
end

-- Keeps fields and values in this epoch's record: 150 to 300 s.
local function remember(now, pairs_)
  if pairs_[1] then
    local key = fin_key(now, 0)
    call('HSET', key, unpack(pairs_))
    call('PEXPIREAT', key, digits((math.floor(now / EPOCH_MS) + 2) * EPOCH_MS), 'NX')
  end
end

-- What is remembered of a message or job, or nil. ahead -1: also in the next epoch, because the
-- clock of a promoted replica may be a little behind.
local function remembered(now, field, ahead)
  for ago = ahead, 1 do
    local v = call('HGET', fin_key(now, ago), field)
    if v then
      return v
    end
  end
  return nil
end

local function bump(counters)
  for name, by in pairs(counters) do
    if by ~= 0 then
      add(p .. 'st', name, by)
    end
  end
end

-- What cannot be told, because somebody else writes into ev or its numbers are used up, stops no message.
-- history as it came: as a number it would be printed as floating point (head.lua).
local function track(history, id, event, q, text)
  if history ~= '0' then
    redis.pcall('XADD', p .. 'ev', 'MAXLEN', '~', history, '*', 'i', id, 'v', event, 'q', q, 't', text)
  end
end

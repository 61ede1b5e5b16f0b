-- lib/value.lua: numbers that were read from the store, where somebody else may have written anything.
local WHOLE_DIGITS = 15  -- so that a double holds it, and no sum of two is infinite
local TIME_LEAST = 1e12  -- 2001: less is a time that lost its end

-- A whole number from 0 on, or nil: it is none of ours.
local function whole(s)
  return s and #s <= WHOLE_DIGITS and string.find(s, '^%d+$') and tonumber(s) or nil
end

-- A point in time, or nil.
local function time_of(s)
  local ms = whole(s)
  return ms and ms >= TIME_LEAST and ms or nil
end

-- Adds to a counter of a hash. What is no number counts for nothing: a counter never stops a message, and check
-- counts again.
local function add(key, field, by)
  by = type(by) == 'number' and digits(by) or by
  local n = redis.pcall('HINCRBY', key, field, by)
  if type(n) == 'number' then
    return n
  end
  call('HSET', key, field, by)
  return tonumber(by)
end

-- lib/head.lua: what every script begins with: keys, argument checks, schema check, clock.
-- Errors are raised as tables, so that the first word of the reply is the code (README.md).
local call = redis.call

local function fail(reply)
  error({err = reply})
end

-- A whole number 0..hi, or BADARG.
local function int(s, hi, what)
  if s == '0' then  -- what most of them are
    return 0
  end
  local x = tonumber(s)
  if not x or x < 0 or x > hi or x % 1 ~= 0 then
    fail('BADARG ' .. what)
  end
  return x
end

-- A whole number as text: Redis, and `..`, print one as floating point, which costs as much as the command it goes to.
local function digits(n)
  return n == 1 and '1' or n < 1e15 and string.format('%d', n) or n
end

-- A string of lo..hi bytes, or BADARG.
local function str(s, lo, hi, what)
  if not s or #s < lo or #s > hi then
    fail('BADARG ' .. what)
  end
  return s
end

if #KEYS ~= 2 or KEYS[2] ~= string.sub(KEYS[1], 1, -2) .. 'nx' then
  fail('BADARG keys')
end
local p = string.sub(KEYS[1], 1, -2)
local schema = call('GET', KEYS[1])
if schema ~= ARGV[1] or schema ~= ARGV[2] then
  local v = tonumber(string.match(schema or '', '^%d+$') or string.match(schema or '', '^(%d+) drain$'))
  if not v or v < int(ARGV[1], 1e6, 'lowest schema') or v > int(ARGV[2], 1e6, 'highest schema') then
    fail('SCHEMA ' .. (v or 'none'))
  end
end

-- Milliseconds since 1970, the same during one script; also as text (see digits()).
local function clock()
  local t = call('TIME')
  local text = t[1] .. string.sub('00000' .. t[2], -6, -4)
  return tonumber(text), text
end

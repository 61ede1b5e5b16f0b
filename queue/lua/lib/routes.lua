-- lib/routes.lua: checks of the names and numbers that routing is written with.
local function router_of(s)
  if not s or #s < 1 or #s > 96 or string.find(s, '[^%w._-]') then
    fail('BADARG router')
  end
  return s
end

local function name_of(s)
  if not s or #s < 1 or #s > 63 or string.find(s, '[^%w._@-]') then
    fail('BADARG name')
  end
  return s
end

-- The id of a question: made by who asks.
local function ask_of(s)
  if not s or #s < 1 or #s > 32 or string.find(s, '[^%w]') then
    fail('BADARG id')
  end
  return s
end

-- "major.minor.user.sequence"
local function is_version(s)
  return #s <= 60 and string.find(s, '^%d+%.%d+%.%d+%.%d+$')
end

local function version_of(s)
  if not s or not is_version(s) then
    fail('BADARG version')
  end
  return s
end

-- Compared as numbers without leading zeros, which may be too large for a double.
local function newer(a, b)
  local x, y = {}, {}
  for n in string.gmatch(a, '%d+') do
    x[#x + 1] = string.gsub(n, '^0+', '')
  end
  for n in string.gmatch(b, '%d+') do
    y[#y + 1] = string.gsub(n, '^0+', '')
  end
  for i = 1, 4 do
    if #x[i] ~= #(y[i] or '') then
      return #x[i] > #(y[i] or '')
    elseif x[i] ~= y[i] then
      return x[i] > y[i]
    end
  end
  return false
end

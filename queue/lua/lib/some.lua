-- lib/some.lua: a bounded part of a hash that shrinks as it is worked off.

-- Fields and values in turn, at most max pairs. HSCAN alone is no bound: it returns a small hash whole.
local function some_of(key, max)
  local got = call('HLEN', key) <= max and call('HGETALL', key) or call('HSCAN', key, 0, 'COUNT', max)[2]
  for i = #got, 2 * max + 1, -1 do
    got[i] = nil
  end
  return got
end

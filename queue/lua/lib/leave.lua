-- lib/leave.lua: a job leaves its message for good (I1, I3, I7, I9).

-- How many jobs a message has, and the greatest number of one.
local function jobs_of(m)
  local n, last = 0, 0
  for _, field in ipairs(call('HKEYS', m)) do
    local k = whole(string.match(field, '^j(%d+)$'))
    if k then
      n, last = n + 1, math.max(last, k)
    end
  end
  return n, last
end

-- Removes job k of message id; with the last job message and body go. Returns how many jobs and how
-- many messages that were: 0, 0 when the message is not known.
-- The caller has taken the job out of q, c, bad or qz, and remembers what ended.
local function leave(id, k)
  local m = p .. 'm:' .. id
  local n, c = unpack(call('HMGET', m, 'n', 'c'))
  if not n then
    return 0, 0
  end
  n = whole(n)
  -- The usual message has one job. What says that this is the last one of several is not taken at its word.
  if not n or (n <= 1 and c ~= '1') then
    n = math.max(1, (jobs_of(m)))
  end
  if n <= 1 then
    call('UNLINK', m, p .. 'b:' .. id)
    return 1, 1
  end
  call('HDEL', m, 'j' .. k, 'q' .. k, 'x' .. k, 'f' .. k, 'w' .. k)
  call('HSET', m, 'n', n - 1)
  return 1, 0
end

-- lib/leave.lua: a job leaves its message for good (I1, I3, I7, I9).

-- Removes job k of message id; with the last job message and body go. Returns how many jobs and how
-- many messages that were: 0, 0 when the message is not known.
-- The caller has taken the job out of q, c, bad or qz, and remembers what ended.
local function leave(id, k)
  local m = p .. 'm:' .. id
  local n = tonumber(call('HGET', m, 'n'))
  if not n then
    return 0, 0
  end
  if n <= 1 then
    call('UNLINK', m, p .. 'b:' .. id)
    return 1, 1
  end
  call('HDEL', m, 'j' .. k, 'q' .. k, 'x' .. k, 'f' .. k, 'w' .. k)
  call('HINCRBY', m, 'n', -1)
  return 1, 0
end

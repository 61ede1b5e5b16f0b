#!lua flags=allow-oom
-- queue/lua/sem.lua: members with a lease, and the connection slots they hold (keeps I11).
-- ARGV: 3 verb, then
--   hello worker lease info [former] | renew worker lease [info] | bye worker | reap max | turn who lease
--   get worker link want cap_link cap_total | put worker link n | sync worker lease {link n}*
-- Returns an integer: README.md.
-- include "lib/head.lua"
-- include "lib/value.lua"
-- include "lib/some.lua"
-- include "lib/slots.lua"

local LEASE_MAX, SLOTS_MAX = 7200000, 1000000 -- slots are leased for twice the longest worker.lease
local now = clock()

-- A member that nobody has begun to reap; strict: whose lease has not ended either.
local function member(strict)
  local who = member_of(ARGV[4])
  local ends = call('ZSCORE', p .. 'w', who)
  if not ends or ends == '0' or (strict and tonumber(ends) <= now) then
    fail('EXPIRED')
  end
  return who
end

local function renew(who)
  call('ZADD', p .. 'w', now + int(ARGV[5], LEASE_MAX, 'lease'), who)
end

-- The slots of who it was before, whose connections may still be open, unless they are being given to others. A
-- second call says the same. Returns the slots held.
local function succeed(who, former)
  local ends = call('ZSCORE', p .. 'w', former)
  if ends and ends ~= '0' and former ~= who and call('EXISTS', p .. 'h:' .. who) == 0 then
    if call('EXISTS', p .. 'h:' .. former) == 1 then
      call('RENAME', p .. 'h:' .. former, p .. 'h:' .. who)
    end
    call('ZREM', p .. 'w', former)
    call('DEL', p .. 'i:' .. former)
  end
  local sum = 0
  for _, n in ipairs(call('HVALS', p .. 'h:' .. who)) do
    sum = sum + (whole(n) or 0)
  end
  return sum
end

local verbs = {}

function verbs.hello()
  local who, info = member_of(ARGV[4]), str(ARGV[6], 0, 1024, 'info')
  if call('ZSCORE', p .. 'w', who) == '0' then
    fail('EXPIRED')
  end
  renew(who)
  call('SET', p .. 'i:' .. who, info)
  return ARGV[7] and succeed(who, member_of(ARGV[7])) or 1
end

function verbs.renew()
  local who = member(false)
  renew(who)
  if ARGV[6] then
    call('SET', p .. 'i:' .. who, str(ARGV[6], 0, 1024, 'info'))
  end
  return 1
end

function verbs.get()
  local who, link = member(true), link_of(ARGV[5])
  local want = int(ARGV[6], 1000, 'want')
  local cap_link, cap_total = int(ARGV[7], SLOTS_MAX, 'cap'), int(ARGV[8], SLOTS_MAX, 'cap')
  reclaim(64, now)
  local granted = math.max(0, math.min(want, cap_link - in_use(link), cap_total - total()))
  if granted > 0 then
    use(who, link, granted)
  end
  return granted
end

function verbs.put()
  local who, link, n = member(false), link_of(ARGV[5]), int(ARGV[6], SLOTS_MAX, 'slots')
  local held = held_by(who, link)
  if n > 0 and held > 0 then
    use(who, link, -math.min(n, held))
  end
  return math.max(0, held - n)
end

-- What the worker says is true: its connections exist. What it does not name it does not hold.
function verbs.sync()
  if #ARGV % 2 ~= 1 or #ARGV > 2005 then
    fail('BADARG links')
  end
  local says, sum = {}, 0
  for i = 6, #ARGV, 2 do
    says[link_of(ARGV[i])] = int(ARGV[i + 1], SLOTS_MAX, 'slots')
  end
  local who = member(false)
  renew(who)
  local held = call('HGETALL', p .. 'h:' .. who)
  for i = 1, #held, 2 do
    local link, n = held[i], whole(held[i + 1])
    local wanted = says[link] or 0
    if not n then
      call('HDEL', p .. 'h:' .. who, link)
      n = 0
    end
    if wanted ~= n then
      use(who, link, wanted - n)
    end
    says[link] = nil
    sum = sum + wanted
  end
  for link, n in pairs(says) do
    if n > 0 then
      use(who, link, n)
    end
    sum = sum + n
  end
  return sum
end

function verbs.bye()
  local who = member_of(ARGV[4])
  if not call('ZSCORE', p .. 'w', who) then
    return 1
  end
  local held = call('HGETALL', p .. 'h:' .. who)
  for i = 1, #held, 2 do
    give_back(who, held[i], held[i + 1])
  end
  call('ZREM', p .. 'w', who)
  call('DEL', p .. 'i:' .. who)
  return 1
end

function verbs.reap()
  local max = int(ARGV[4], 1000, 'max')
  for _, link in ipairs(call('ZRANGE', p .. 'ls', '-inf', now, 'BYSCORE', 'LIMIT', 0, max)) do
    call('ZREM', p .. 'ls', link)
    call('DEL', p .. 'l:' .. link)
  end
  return reclaim(max, now)
end

-- The one of all that ask who does what need be done once: whoever had it last, or nobody.
function verbs.turn()
  local who, lease = member_of(ARGV[4]), int(ARGV[5], LEASE_MAX, 'lease')
  local have = call('GET', p .. 'turn')
  if lease < 1 then
    fail('BADARG lease')
  elseif have and have ~= who and call('PTTL', p .. 'turn') >= 0 then
    return 0
  end
  call('SET', p .. 'turn', who, 'PX', lease)
  return 1
end

local verb = verbs[ARGV[3] or '']
if not verb then
  fail('BADARG verb')
end
return verb()

#!lua flags=allow-oom
-- queue/lua/reap.lua: IN HAND of dead workers -> QUEUED or QUARANTINE; staged jobs -> QUEUED; holds and wishes that are over
-- (keeps I2..I4, I6, I8). ARGV: 3 max. Returns jobs taken from dead workers.
-- include "lib/head.lua"
-- include "lib/names.lua"
-- include "lib/value.lua"
-- include "lib/queue.lua"
-- include "lib/record.lua"
-- include "lib/leave.lua"
-- include "lib/some.lua"

local SECOND_TIME_MS, INTERRUPTED_MAX, SPREAD, HOLDS = 60000, 3, 500, 500
local WAKE_MS = 86400000
local budget = int(ARGV[3], 1000, 'max')
local now = clock()
local counters = {interrupted = 0, quarantined = 0, ghosts = 0, early = 0, gone = 0}

-- The first time a job goes back to its place; the second time it steps aside, so that those who were
-- merely near the one that kills workers get through; the third time it is kept for an operator.
local function put_back(job, score, bucket, q)
  local id, k = split_job(job)
  local m = p .. 'm:' .. id
  if not call('HGET', m, 'q' .. k) then
    counters.ghosts = counters.ghosts + 1
    return
  end
  local x = add(m, 'x' .. k, 1)
  counters.interrupted = counters.interrupted + 1
  if x >= INTERRUPTED_MAX then
    unage(m, k, q, bucket)
    call('HSET', m, 'w' .. k, 'interrupted ' .. x .. ' times: a worker died with it in hand')
    call('ZADD', p .. 'qz', now, job)
    counters.quarantined = counters.quarantined + 1
  elseif x == 2 then
    age(m, k, q, bucket)
    enqueue(q, job, now + SECOND_TIME_MS + BAND, now)
  else
    enqueue(q, job, tonumber(score), now)
  end
end

local function reap(worker)
  local key = p .. 'c:' .. worker
  local held = some_of(key, budget)
  for i = 1, #held, 2 do
    local _, score, bucket, q = lease_of(held[i], held[i + 1], now)
    if q then
      put_back(held[i], score, bucket, q)
      count_in_hand(q, -1)
    end
    call('HDEL', key, held[i])
  end
  budget = budget - #held / 2
  if call('EXISTS', key) == 0 then
    call('ZREM', p .. 'wk', worker)
  end
  return #held / 2
end

-- Queues some of the jobs that were staged for a large message.
local function spread(id, from)
  local m = p .. 'm:' .. id
  local last = whole(call('HGET', m, 's'))
  if not last then
    call('ZREM', p .. 'sp', id)
    return
  end
  local upto = math.min(last, from + SPREAD - 1)
  for k = from, upto do
    local job = id .. '.' .. k
    local home, delay = unpack(call('HMGET', m, 'q' .. k, 'd' .. k))
    local bucket, q = split_home(home)
    if q and remembered(now, job, -1) then
      local jobs, messages = leave(id, k)
      counters.early, counters.gone = counters.early + jobs - messages, counters.gone + messages
    elseif q then
      delay = whole(delay) or 0
      local t = time_of(call('HGET', m, 't')) or now
      if delay > 0 then
        age(m, k, q, bucket)
      end
      enqueue(q, job, t + delay, now)
    end
    call('HDEL', m, 'd' .. k)
  end
  if upto < last then
    call('ZADD', p .. 'sp', upto + 1, id)
  else
    call('ZREM', p .. 'sp', id)
    call('HDEL', m, 's')
  end
end

-- Holds that are over: nobody asks for them again when the queue is empty.
local over = call('ZRANGE', p .. 'hold', '-inf', now, 'BYSCORE', 'LIMIT', 0, HOLDS)
if over[1] then
  call('ZREM', p .. 'hold', unpack(over))
end
-- And wishes so old that nobody holds on to what was before them.
local old = call('ZRANGE', p .. 'wake', '-inf', (now - WAKE_MS) * 16, 'BYSCORE', 'LIMIT', 0, HOLDS)
if old[1] then
  call('ZREM', p .. 'wake', unpack(old))
end
local reaped = 0
for _, worker in ipairs(call('ZRANGE', p .. 'wk', '-inf', now, 'BYSCORE', 'LIMIT', 0, 4)) do
  if budget < 1 then
    break
  end
  call('ZADD', p .. 'wk', 0, worker)  -- from here on its renewals fail
  reaped = reaped + reap(worker)
end
local staged = call('ZRANGE', p .. 'sp', 0, 0, 'WITHSCORES')
if staged[1] then
  spread(staged[1], math.max(1, math.floor(tonumber(staged[2]))))
end
bump(counters)
return reaped

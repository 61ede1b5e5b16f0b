-- lib/queue.lua: entering and leaving destination queues (I2, I5, I6, I8).
local BAND = 8796093022208  -- 2^43: problem jobs sort behind every healthy one
local ICE = 17592186044416  -- 2^44: on the score of jobs that are frozen one by one, beside the band
local BUCKET_MS = 600000
local TOKEN_END = 9e14  -- a token is less: 15 digits
local FROZEN = 'inf'  -- the score in hold that never ends
local DELAY_MAX = 315360000000  -- ten years

-- Puts a job into its queue. True when the queue is to be looked at earlier than was known, and now.
-- text: the score printed, when the caller has it.
local function enqueue(q, job, score, now, text)
  call('ZADD', p .. 'q:' .. q, text or score, job)
  local due = score >= BAND and score - BAND or score
  local hold = call('ZSCORE', p .. 'hold', q)
  if hold then
    if hold == FROZEN then
      return false
    end
    due = math.max(due, tonumber(hold) or 0)
    text = nil
  end
  return call('ZADD', p .. 'dom', 'LT', 'CH', text or due, q) == 1 and due <= now
end

-- Sets when to look at a queue next, after jobs have left it or its hold has changed. A queue that
-- still has due jobs goes behind all others that have: least recently served first.
-- True when something is due.
local function rescore(q, now)
  local head = call('ZRANGE', p .. 'q:' .. q, '0', '0', 'WITHSCORES')
  if not head[1] then
    call('ZREM', p .. 'dom', q)
    return false
  end
  local due = tonumber(head[2])
  if due >= BAND then
    due = due - BAND
  elseif due > now then
    local problem = call('ZRANGE', p .. 'q:' .. q, BAND, '+inf', 'BYSCORE', 'LIMIT', 0, 1, 'WITHSCORES')
    if problem[1] then
      due = math.min(due, tonumber(problem[2]) - BAND)
    end
  end
  local hold = call('ZSCORE', p .. 'hold', q)
  if hold == FROZEN then
    call('ZREM', p .. 'dom', q)
    return false
  end
  local look = math.max(due, now, tonumber(hold) or 0)
  call('ZADD', p .. 'dom', digits(look), q)
  return due <= now
end

-- Lets a queue be seen again; false: it is frozen, and stays so.
local function end_hold(q)
  if call('ZSCORE', p .. 'hold', q) == FROZEN then
    return false
  end
  call('ZREM', p .. 'hold', q)
  return true
end

-- A job that may be frozen leaves its queue, or is to go on (I13).
local function thaw_job(job)
  call('ZREM', p .. 'ice', job)
end

-- Makes at most `max` of the jobs with a score between the two due now; returns them.
local function make_due(q, from, to, max, now)
  local jobs = call('ZRANGE', p .. 'q:' .. q, '(' .. from, to, 'BYSCORE', 'LIMIT', 0, max)
  local args = {}
  for i, job in ipairs(jobs) do
    args[2 * i - 1], args[2 * i] = now, job
  end
  if #args > 0 then
    call('ZADD', p .. 'q:' .. q, unpack(args))
  end
  return jobs
end

-- The last token given; 0: what is there is none.
local function last_token()
  local token = whole(call('GET', p .. 'tok'))
  return token and token < TOKEN_END and token or 0
end

-- When a queue was woken last, as a token: none is later than the last one given.
local function wish_of(q)
  local token = tonumber(call('ZSCORE', p .. 'wake', q)) or 0
  return token > 0 and token <= last_token() and token or 0
end

-- An operator, or the destination itself, wants a queue tried now, or it has another way: it is seen again, and what was
-- known before says nothing any more. The mark is the last token given, so that later tokens are those of later claims.
local function wake_queue(q, now)
  if call('EXISTS', p .. 'q:' .. q) == 1 or call('HEXISTS', p .. 'inf', q) == 1 then
    local token = digits(math.max(last_token(), now * 16))
    call('SET', p .. 'tok', token)
    call('ZADD', p .. 'wake', token, q)
  end
end

-- When that was, 0: not lately.
local function woken_at(q)
  return math.floor(wish_of(q) / 16)
end

-- Whether that was after the claim with this token, also within a millisecond.
local function woken_after(q, token)
  return token <= wish_of(q)
end

-- The delay of a job that was claimed with a token: none when its queue was woken since, because whoever
-- asks for it knows the link only as it was before.
local function delay_since(q, token, delay)
  if delay > 0 and woken_after(q, tonumber(token)) then
    return 0
  end
  return delay
end

-- Counts a job that is not fresh into its queue's ages, or out of them (I8).
local function count_age(q, bucket, by)
  local key = p .. 'a:' .. q
  if add(key, bucket, by) <= 0 then
    call('HDEL', key, bucket)
  end
  if add(key, 'n', by) <= 0 then
    call('DEL', key)
  end
end

-- Makes a job one that has been delayed: it is counted by age from now on. Returns its bucket.
local function age(m, k, q, bucket)
  if bucket ~= '0' then
    return bucket
  end
  bucket = digits(math.floor((time_of(call('HGET', m, 't')) or 0) / BUCKET_MS))
  if bucket == '0' then
    bucket = '1'
  end
  call('HSET', m, 'q' .. k, bucket .. ':' .. q)
  count_age(q, bucket, 1)
  return bucket
end

-- The opposite, for jobs that leave for the badmail or the quarantine, or become fresh again.
local function unage(m, k, q, bucket)
  if bucket ~= '0' then
    count_age(q, bucket, -1)
    call('HSET', m, 'q' .. k, '0:' .. q)
  end
end

local function count_in_hand(q, by)
  if add(p .. 'inf', q, by) <= 0 then
    call('HDEL', p .. 'inf', q)
  end
end

-- Splits what a message says of a job's queue: "<bucket>:<Q>".
local function split_home(home)
  return string.match(home or '', '^(%d+):(.+)$')
end

-- Splits a lease: "<token>:<score>:<bucket>:<Q>".
local function split_lease(lease)
  return string.match(lease or '', '^(%d+):(%d+):(%d+):(.+)$')
end

-- The same for a job in hand whose lease is damaged: of its message, due now.
local function lease_of(job, lease, now)
  local token, score, bucket, q = split_lease(lease)
  if q then
    return token, score, bucket, q
  end
  bucket, q = split_home(call('HGET', p .. 'm:' .. string.sub(job, 1, 16), 'q' .. string.sub(job, 18)))
  return '0', string.format('%.0f', now), bucket, q
end

-- A score as a lease holds it.
local function score_text(score)
  return string.find(score, '^%d+$') and score or string.format('%.0f', math.max(0, tonumber(score)))
end

#!lua flags=allow-oom
-- queue/lua/finish.lua: IN HAND -> gone, QUEUED (later) or BADMAIL, with what is to be reported
-- (keeps I1..I3, I6..I9). ARGV: 3 history, 4 worker, 5 redo or "=job", then records:
--   id, k, token, verb, delay, problem, delivered, bounced, event, text, job, reports
--   and when reports is 1: id, envelope, text, kind, length, z, bytes, njobs, {Q, delay, job}*
-- Returns one a record: 1 done, 2 done and wake, 0 stale, -1 the report's body is missing.
-- include "lib/head.lua"
-- include "lib/names.lua"
-- include "lib/value.lua"
-- include "lib/queue.lua"
-- include "lib/record.lua"
-- include "lib/admit.lua"
-- include "lib/leave.lua"

local FIRST_RECORD, RECORD_ARGS, MESSAGE_ARGS = 6, 12, 8
local PARTLY = 3

-- "=<job>" is the state of a job of which only a part is settled, as it was when it was claimed.
local function redo_of(s)
  return s and string.byte(s) == 61 and PARTLY or int(s, 2, 'redo')
end

local history, worker, redo = int(ARGV[3], 1e8, 'history') and ARGV[3], worker_of(ARGV[4]), redo_of(ARGV[5])
local counters = {ghosts = 0, early = 0, gone = 0, delivered = 0, bounced = 0, deferred = 0, badmail = 0}
local in_hand, records = {}, {}
local now, now_text

-- Checks the record at ARGV[i]; returns where the next one begins, and its report.
local function check_record(i)
  id_of(ARGV[i])
  job_no(ARGV[i + 1])
  token_of(ARGV[i + 2])
  local verb = ARGV[i + 3]
  if verb ~= 'd' and verb ~= 'r' and verb ~= 'b' then
    fail('BADARG verb')
  end
  int(ARGV[i + 4], DELAY_MAX, 'delay')
  int(ARGV[i + 5], 1, 'problem')
  int(ARGV[i + 6], JOBS_MAX, 'delivered')
  int(ARGV[i + 7], JOBS_MAX, 'bounced')
  str(ARGV[i + 8], 0, 32, 'event')
  str(ARGV[i + 9], 0, 3072, 'text')
  str(ARGV[i + 10], 0, 131072, 'job')
  if int(ARGV[i + 11], 1, 'reports') == 0 then
    return i + RECORD_ARGS, nil
  end
  local at = i + RECORD_ARGS
  local m = read_message(at)
  m.staged, m.njobs, m.first = 0, int(ARGV[at + 7], 100, 'jobs of the report'), at + MESSAGE_ARGS
  if m.njobs < 1 then
    fail('BADARG jobs of the report')
  end
  check_jobs(m.first, m.njobs)
  return m.first + m.njobs * 3, m
end

-- Whether this very token has finished the job before: a reply was lost. Says so again, with a write.
local function finished_before(id, k, token)
  local mine, job = token .. '.' .. worker, id .. '.' .. k
  if remembered(now, id, -1) == k .. '.' .. mine then
    remember(now, {id, k .. '.' .. mine})
  elseif remembered(now, job, -1) == mine then
    remember(now, {job, mine})
  elseif remembered(now, job .. ':' .. mine, -1) then
    remember(now, {job .. ':' .. mine, 1})
  else
    return false
  end
  return true
end

-- The verbs. Each gets the record's place in ARGV, and the bucket and queue of a job that is known.
local verbs = {}

function verbs.d(i, bucket, q)
  local id, k = ARGV[i], ARGV[i + 1]
  local r, mine = #records, ARGV[i + 2] .. '.' .. worker
  local jobs, messages = leave(id, k)
  counters.early, counters.gone = counters.early + jobs - messages, counters.gone + messages
  if bucket ~= '0' then
    count_age(q, bucket, -1)
  end
  if messages == 1 then
    records[r + 1], records[r + 2] = id, k .. '.' .. mine
  else
    records[r + 1], records[r + 2] = id .. '.' .. k, mine
  end
end

-- What was said, without for whom and by which way it was tried: only tracking shows that.
local function reason_of(text)
  return string.match(text, '^[^\n]*')
end

-- The history of a record: first those recipients that fared otherwise, then "<b@a.example> via mx: 451 come again".
local function tell(i, q)
  local text = ARGV[i + 9]
  local at = string.find(text, '\n', 1, true)
  if at then
    local reason, whom = string.sub(text, 1, at - 1), string.sub(text, at + 1)
    at = string.find(whom, '\n', 1, true)
    if at then
      for event, what in string.gmatch(string.sub(whom, at), '\n(%a+) ([^\n]*)') do
        track(history, ARGV[i], event, q, what)
      end
      whom = string.sub(whom, 1, at - 1)
    end
    text = reason == '' and whom or whom .. ': ' .. reason
  end
  track(history, ARGV[i], ARGV[i + 8], q, text)
end

-- What retry and badmail share: the new state, and the record for a reply that is lost.
local function keep(i)
  local m, k, r = p .. 'm:' .. ARGV[i], ARGV[i + 1], #records
  if #ARGV[i + 10] > 0 then
    call('HSET', m, 'j' .. k, ARGV[i + 10])
  end
  call('HDEL', m, 'x' .. k)
  records[r + 1] = ARGV[i] .. '.' .. k .. ':' .. ARGV[i + 2] .. '.' .. worker
  records[r + 2] = 1
  return m, k
end

function verbs.r(i, bucket, q)
  local m, k = keep(i)
  age(m, k, q, bucket)
  call('HSET', p .. 'a:' .. q, 'err', reason_of(ARGV[i + 9]), 'at', now)
  local delay = delay_since(q, ARGV[i + 2], tonumber(ARGV[i + 4]))
  enqueue(q, ARGV[i] .. '.' .. k, now + delay + (ARGV[i + 5] == '1' and BAND or 0), now)
  counters.deferred = counters.deferred + 1
end

function verbs.b(i, bucket, q)
  local m, k = keep(i)
  unage(m, k, q, bucket)
  call('HSET', m, 'w' .. k, reason_of(ARGV[i + 9]))
  call('HDEL', m, 'f' .. k)
  call('ZADD', p .. 'bad', now, ARGV[i] .. '.' .. k)
  counters.badmail = counters.badmail + 1
end

-- Where the job is: 'hand', with bucket and Q; with redo also 'queue', with redo 1 also 'nowhere' when the
-- message is not known, with PARTLY 'part' instead of 'queue', when nobody has changed the job; else nil and the answer.
local function whereabouts(i)
  local id, k, token = ARGV[i], ARGV[i + 1], ARGV[i + 2]
  local job = id .. '.' .. k
  local t, _, bucket, q = split_lease(call('HGET', p .. 'c:' .. worker, job))
  if t == token then
    return 'hand', bucket, q
  end
  if finished_before(id, k, token) then
    return nil, 1
  end
  if redo > 0 then
    local n, home = unpack(call('HMGET', p .. 'm:' .. id, 'n', 'q' .. k))
    bucket, q = split_home(home)
    if n and q and call('ZSCORE', p .. 'q:' .. q, job) then
      if redo == PARTLY then
        if '=' .. (call('HGET', p .. 'm:' .. id, 'j' .. k) or '') ~= ARGV[5] then
          return nil, 0
        end
        return 'part', bucket, q
      end
      return 'queue', bucket, q
    end
    if redo == 1 and not n and ARGV[i + 3] == 'd' then
      return 'nowhere', '0', ''
    end
  end
  return nil, 0
end

-- Takes the job from where it is. One of which a part is settled stays there: its time, and whether it is frozen, are its
-- queue's.
local function take(i, place, q)
  local job = ARGV[i] .. '.' .. ARGV[i + 1]
  if place == 'hand' then
    call('HDEL', p .. 'c:' .. worker, job)
    in_hand[q] = (in_hand[q] or 0) - 1
  elseif place == 'queue' then
    call('ZREM', p .. 'q:' .. q, job)
    thaw_job(job)
    rescore(q, now)
  end
end

-- A finish that breaks off on a key that somebody else wrote is told again. So the report goes first: before it is there the
-- job has to stay in hand, or it would come back as if nothing had been done.
local function finish(i, report)
  local place, bucket, q = whereabouts(i)
  if not place then
    return bucket
  end
  if report and call('HEXISTS', p .. 'm:' .. report.id, 'n') == 1 then
    report = nil
  end
  if report and not body_there(report) then
    return -1
  end
  if ARGV[i + 3] ~= 'd' and call('HEXISTS', p .. 'm:' .. ARGV[i], 'j' .. ARGV[i + 1]) == 0 then
    take(i, place, q) -- its message is gone, and there is nothing to write to
    counters.ghosts = counters.ghosts + 1
    return 0
  end
  local _, wake
  if report then
    _, wake = admit(report, report.first, report.njobs, nil, now, now_text, history)
  end
  take(i, place, q)
  local settle = place == 'part' and keep or verbs[ARGV[i + 3]]
  settle(i, bucket, q)
  counters.delivered = counters.delivered + tonumber(ARGV[i + 6])
  counters.bounced = counters.bounced + tonumber(ARGV[i + 7])
  tell(i, q)
  return wake and 2 or 1
end

local starts, reports, at = {}, {}, FIRST_RECORD
while at <= #ARGV do
  local n = #starts + 1
  starts[n] = at
  at, reports[n] = check_record(at)
end
if at ~= #ARGV + 1 or #starts > 100 then
  fail('BADARG records')
end
now, now_text = clock()
local reply = {}
for n, i in ipairs(starts) do
  reply[n] = finish(i, reports[n])
end
for q, by in pairs(in_hand) do
  count_in_hand(q, by)
end
remember(now, records)
bump(counters)
return reply

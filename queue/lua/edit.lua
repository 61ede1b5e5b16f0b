#!lua flags=allow-oom
-- queue/lua/edit.lua: what an administrator does to jobs that are in nobody's hands
-- (keeps I1..I3, I5, I7..I9). ARGV: 3 history, 4 verb, 5 text, then {id, k}* (k 0: every job).
-- Returns one a pair: jobs changed; 0 no such job; -1 in a worker's hands; -2 not in a state for that;
-- -3 enough for one call, ask again.
-- include "lib/head.lua"
-- include "lib/names.lua"
-- include "lib/value.lua"
-- include "lib/queue.lua"
-- include "lib/record.lua"
-- include "lib/leave.lua"
-- include "lib/where.lua"

local history = int(ARGV[3], 1e8, 'history') and ARGV[3]
-- The reason, and behind it a line for each pair: for whom the job is, as tracking shows it.
local text, whom = string.match(str(ARGV[5], 0, 32768, 'text'), '^([^\n]*)(.*)$')
str(text, 0, 256, 'reason')
local budget = 1000
local counters = {early = 0, gone = 0, deleted = 0}
local records = {}
local now, event
local seen = {}  -- queues that are not to stay hidden

local function out_of(place, q, job)
  if place == 'q' then
    call('ZREM', p .. 'q:' .. q, job)
    thaw_job(job)
  else
    call('ZREM', p .. place, job)
  end
end

local function is_frozen(place, score)
  return place == 'q' and tonumber(score) >= ICE
end

-- Each verb gets message id, job number, place, bucket, Q and score, and returns 1 or -2.
local verbs = {}

-- "Due now" is no use while its queue is skipped; and who is in hand comes back due, when it is to be tried.
local function show_queue(q)
  if seen[q] then
    return
  end
  seen[q] = true
  if ARGV[4] == 'retry' then
    wake_queue(q, now)
  end
  if end_hold(q) then
    rescore(q, now)
  end
end

-- What is due stays where it is: else whoever goes through a queue in order meets it again and again.
function verbs.retry(id, k, place, _, q, score)
  if place ~= 'q' or is_frozen(place, score) then
    return -2
  end
  if tonumber(score) > now then
    call('ZADD', p .. 'q:' .. q, now, id .. '.' .. k)
  end
  return 1
end

-- To be returned is more than to be frozen: it goes.
function verbs.bounce(id, k, place, _, q, score)
  if place ~= 'q' then
    return -2
  end
  call('HSET', p .. 'm:' .. id, 'f' .. k, 'b' .. text)
  thaw_job(id .. '.' .. k)
  if tonumber(score) > now then
    call('ZADD', p .. 'q:' .. q, now, id .. '.' .. k)
  end
  return 1
end

-- A frozen job keeps its time: thawed, it is where it was. It is not fresh any more (I8).
function verbs.freeze(id, k, place, bucket, q, score)
  if place ~= 'q' or is_frozen(place, score) then
    return -2
  end
  age(p .. 'm:' .. id, k, q, bucket)
  call('ZADD', p .. 'ice', now, id .. '.' .. k)
  call('ZADD', p .. 'q:' .. q, tonumber(score) + ICE, id .. '.' .. k)
  return 1
end

function verbs.thaw(id, k, place, _, q, score)
  if not is_frozen(place, score) then
    return -2
  end
  call('ZADD', p .. 'q:' .. q, tonumber(score) - ICE, id .. '.' .. k)
  thaw_job(id .. '.' .. k)
  return 1
end

function verbs.requeue(id, k, place, bucket, q)
  if place ~= 'bad' and place ~= 'qz' then
    return -2
  end
  local m = p .. 'm:' .. id
  out_of(place, q, id .. '.' .. k)
  call('HDEL', m, 'x' .. k, 'w' .. k, 'f' .. k)
  if bucket ~= '0' then
    call('HSET', m, 'q' .. k, '0:' .. q)
  end
  enqueue(q, id .. '.' .. k, time_of(call('HGET', m, 't')) or now, now)
  return 1
end

verbs['delete'] = function(id, k, place, bucket, q)
  local r = #records
  out_of(place, q, id .. '.' .. k)
  if place == 'q' and bucket ~= '0' then
    count_age(q, bucket, -1)
  end
  local jobs, messages = leave(id, k)
  counters.early, counters.gone = counters.early + jobs - messages, counters.gone + messages
  counters.deleted = counters.deleted + 1
  records[r + 1] = messages == 1 and id or id .. '.' .. k
  records[r + 2] = messages == 1 and k .. '.0.admin' or '0.admin'
  return 1
end

local function edit_job(verb, id, k, who)
  local home, job = unpack(call('HMGET', p .. 'm:' .. id, 'q' .. k, 'j' .. k))
  local bucket, q = split_home(home)
  if not job or not q then
    return 0
  end
  budget = budget - 1
  local place, score = where_is(id, k, q)
  if (place == 'q' or place == 'c') and (verb == verbs.retry and not is_frozen(place, score) or verb == verbs.bounce) then
    show_queue(q)
  end
  if place == 'c' or place == 'sp' then
    return -1
  elseif place == '' then
    return -2
  end
  local done = verb(id, k, place, bucket, q, score)
  if done == 1 then
    if place == 'q' then
      rescore(q, now)
    end
    track(history, id, event, q, who == '' and text or text == '' and who or who .. ': ' .. text)
  end
  return done
end

local function edit_all(verb, id)
  local c = whole(call('HGET', p .. 'm:' .. id, 'c')) or 0
  if c > 1000 then
    return -2
  end
  local changed, refused = 0, 0
  for k = 1, c do
    local done = edit_job(verb, id, string.format('%.0f', k), '')
    if done < 0 then
      refused = (refused == -1 or done == -1) and -1 or done
    else
      changed = changed + done
    end
  end
  return changed > 0 and refused ~= -1 and changed or refused
end

local EVENTS = {
  retry = 'retry', bounce = 'bounce', requeue = 'requeued', ['delete'] = 'deleted', freeze = 'frozen', thaw = 'thawed',
}
local verb = verbs[ARGV[4] or '']
event = EVENTS[ARGV[4] or '']
if not verb or #ARGV % 2 ~= 1 or #ARGV > 205 then
  fail('BADARG verb or jobs')
end
for i = 6, #ARGV, 2 do
  id_of(ARGV[i])
  if ARGV[i + 1] ~= '0' then
    job_no(ARGV[i + 1])
  end
end
now = clock()
local reply, next_line = {}, string.gmatch(whom, '\n([^\n]*)')
for i = 6, #ARGV, 2 do
  local id, k, who = ARGV[i], ARGV[i + 1], next_line() or ''
  local jobs = k == '0' and whole(call('HGET', p .. 'm:' .. id, 'n')) or 1
  if budget < jobs and jobs <= 1000 then
    reply[#reply + 1] = -3
  else
    reply[#reply + 1] = k == '0' and edit_all(verb, id) or edit_job(verb, id, k, who)
  end
end
remember(now, records)
bump(counters)
return reply

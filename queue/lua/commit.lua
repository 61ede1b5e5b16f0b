#!lua
-- queue/lua/commit.lua: body -> QUEUED (keeps I1, I2, I3, I5, I7, I9)
-- ARGV: 3 history, 4 retry, 5 id, 6 envelope, 7 text, 8 kind, 9 length, 10 z, 11 bytes, 12 staged,
--       then {Q, delay, job}*
-- Returns 1 new, 2 new and wake, 0 committed before. Not allow-oom: when memory is full, mail waits outside.
-- include "lib/head.lua"
-- include "lib/names.lua"
-- include "lib/value.lua"
-- include "lib/queue.lua"
-- include "lib/record.lua"
-- include "lib/admit.lua"

local FIRST_JOB = 13
local history = int(ARGV[3], 1e8, 'history') and ARGV[3]
local retry = int(ARGV[4], 1, 'retry')
local m = read_message(5)
m.staged = int(ARGV[12], JOBS_MAX, 'staged')
local njobs = (#ARGV - FIRST_JOB + 1) / 3
if njobs % 1 ~= 0 or njobs < 1 or njobs > 1000 or m.staged + njobs > JOBS_MAX then
  fail('BADARG jobs')
end
check_jobs(FIRST_JOB, njobs)

-- An id that is known is answered with a write, so that a WAIT behind it waits for the replicas.
local key = p .. 'm:' .. m.id
local known = call('HMGET', key, 'n', 's')
if known[1] then
  add(key, 'r', 1)
  return 0
end
local now, text = clock()
local ended = remembered(now, m.id, -retry)
if ended then
  remember(now, {m.id, ended})
  if ended == 'x' then
    fail('CANCELED')
  end
  return 0
end
if tonumber(schema) == nil then
  fail('DRAIN')
end
if m.staged ~= (whole(known[2]) or 0) then
  if m.staged > 0 then
    fail('NOBODY staged jobs are gone')
  end
  call('DEL', key)
end
if not body_there(m) then
  fail('NOBODY')
end

-- After a failover the worker's word may be here before the message: jobs that it finished stay out. (Of those that
-- are staged, when they are spread.)
local skip
if retry == 1 then
  local left = m.staged + njobs
  skip = {}
  for k = m.staged + 1, m.staged + njobs do
    if remembered(now, m.id .. '.' .. k, -1) then
      skip[k] = true
      left = left - 1
    end
  end
  if left == 0 then
    remember(now, {m.id, '0.0.redo'})
    return 0
  end
end
local _, wake = admit(m, FIRST_JOB, njobs, skip, now, text, history)
return wake and 2 or 1

#!lua
-- queue/lua/stage.lua: jobs of a message too large for one commit, kept aside until it comes.
-- ARGV: 3 id, 4 reset, 5 first k, then {Q, delay, job}*. Returns jobs staged so far.
-- include "lib/head.lua"
-- include "lib/names.lua"
-- include "lib/value.lua"
-- include "lib/queue.lua"

local STAGED_MS = 900000
local FIRST_JOB = 6
local id = id_of(ARGV[3])
local reset = int(ARGV[4], 1, 'reset')
local first = int(ARGV[5], JOBS_MAX, 'first job')
local njobs = (#ARGV - FIRST_JOB + 1) / 3
if njobs % 1 ~= 0 or njobs < 1 or njobs > 500 or first < 1 or first + njobs > JOBS_MAX + 1 then
  fail('BADARG jobs')
end
for at = FIRST_JOB, #ARGV, 3 do
  queue_of(ARGV[at])
  int(ARGV[at + 1], DELAY_MAX, 'delay')
  str(ARGV[at + 2], 1, 131072, 'job')
end

local m = p .. 'm:' .. id
local known = call('HMGET', m, 'n', 's')
if known[1] then
  fail('BADARG committed before')
end
if reset == 1 then
  call('DEL', m)
  known[2] = false
end
-- Sent twice after a lost reply: the same fields again.
local staged = whole(known[2]) or 0
if first > staged + 1 then
  fail('NOBODY staged jobs are gone')
end
local fields = {}
for at = FIRST_JOB, #ARGV, 3 do
  local k, f = first + (at - FIRST_JOB) / 3, #fields
  fields[f + 1], fields[f + 2] = 'j' .. k, ARGV[at + 2]
  fields[f + 3], fields[f + 4] = 'q' .. k, '0:' .. ARGV[at]
  fields[f + 5], fields[f + 6] = 'd' .. k, ARGV[at + 1]
end
staged = math.max(staged, first + njobs - 1)
call('HSET', m, 's', staged, unpack(fields))
call('PEXPIRE', m, STAGED_MS)
return staged

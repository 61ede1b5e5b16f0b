#!lua flags=allow-oom
-- queue/lua/link.lua: what all workers know of a link that fails.
-- ARGV: 3 verb, 4 link: get | failed, 5 failures, 6 delay, 7 error | ok
-- Returns failures, until, error, since, now; for ok 1 when there was something to forget.
-- include "lib/head.lua"
-- include "lib/value.lua"
-- include "lib/some.lua"
-- include "lib/slots.lua"

local KEEP_MS, DELAY_MAX, FAILURES_MAX = 86400000, 315360000000, 1000000
local verb, link = ARGV[3], link_of(ARGV[4])
local key = p .. 'l:' .. link

if verb == 'ok' then
  call('ZREM', p .. 'ls', link)
  return call('DEL', key)
end
local now = clock()
local have = call('HMGET', key, 'f', 'u', 'e', 's')
local failures, untl = whole(have[1]) or 0, whole(have[2]) or 0
local text, since = have[3] or '', whole(have[4]) or 0
if untl > now + DELAY_MAX or failures > FAILURES_MAX then  -- nobody has said that
  failures, untl = 0, 0
end
if verb == 'failed' then
  local says, delay = int(ARGV[5], FAILURES_MAX, 'failures'), int(ARGV[6], DELAY_MAX, 'delay')
  text = str(ARGV[7], 0, 512, 'error')
  -- Two workers that fail at the same time both say one more than they knew: that is one failure.
  if says > failures then
    failures, untl = says, math.max(untl, now + delay)
  end
  since = since > 0 and since or now
  local forget = math.max(untl, now) + KEEP_MS
  call('HSET', key, 'f', failures, 'u', untl, 'e', text, 's', since)
  call('PEXPIREAT', key, forget)
  call('ZADD', p .. 'ls', forget, link)
elseif verb ~= 'get' then
  fail('BADARG verb')
end
return {failures, untl, text, since, now}

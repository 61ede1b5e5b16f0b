#!lua flags=allow-oom
-- queue/lua/cancel.lua: QUEUED -> gone, when a front gives up on a commit whose reply it never got.
-- ARGV: 3 id. Returns 1 removed, 2 too late, 0 unknown: a later commit is refused (keeps I1, I7, I9).
-- include "lib/head.lua"
-- include "lib/names.lua"
-- include "lib/value.lua"
-- include "lib/queue.lua"
-- include "lib/record.lua"

local CANCEL_MAX = 1000
local id = id_of(ARGV[3])
local m = p .. 'm:' .. id
local now = clock()
local c, n = unpack(call('HMGET', m, 'c', 'n'))
if not n then
  local ended = remembered(now, id, -1)
  if ended and ended ~= 'x' then
    remember(now, {id, ended})
    return 2
  end
  call('UNLINK', m, p .. 'b:' .. id)
  remember(now, {id, 'x'})
  return ended and 1 or 0
end
c, n = whole(c), whole(n)
if not n or c ~= n or c > CANCEL_MAX or call('ZSCORE', p .. 'sp', id) then
  return 2
end
local homes = {}
for k = 1, c do
  local bucket, q = split_home(call('HGET', m, 'q' .. k))
  if not q or not call('ZSCORE', p .. 'q:' .. q, id .. '.' .. k) then
    return 2
  end
  homes[k] = {bucket, q}
end
for k, home in ipairs(homes) do
  local bucket, q = home[1], home[2]
  call('ZREM', p .. 'q:' .. q, id .. '.' .. k)
  thaw_job(id .. '.' .. k)
  rescore(q, now)
  if bucket ~= '0' then
    count_age(q, bucket, -1)
  end
end
call('UNLINK', m, p .. 'b:' .. id)
remember(now, {id, 'x'})
bump({canceled = 1, gone = 1, early = n - 1})
return 1

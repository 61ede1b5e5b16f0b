#!lua flags=allow-oom
-- queue/lua/renew.lua: a worker's lease in one partition (I4).
-- ARGV: 3 worker, 4 lease, 5 hello. Returns 1. A late renewal is good as long as nobody has begun to reap.
-- include "lib/head.lua"
-- include "lib/names.lua"

local worker = worker_of(ARGV[3])
local lease, hello = int(ARGV[4], 3600000, 'lease'), int(ARGV[5], 1, 'hello')
local ends = call('ZSCORE', p .. 'wk', worker)
if ends == '0' or (not ends and hello == 0) then
  fail('EXPIRED')
end
call('ZADD', p .. 'wk', clock() + lease, worker)
return 1

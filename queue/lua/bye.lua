#!lua flags=allow-oom
-- queue/lua/bye.lua: a worker leaves: its jobs go back untouched (keeps I2, I4, I6).
-- ARGV: 3 worker. Returns the jobs still in hand: call again until 0.
-- include "lib/head.lua"
-- include "lib/names.lua"
-- include "lib/value.lua"
-- include "lib/queue.lua"
-- include "lib/some.lua"
-- include "lib/giveback.lua"

local worker = worker_of(ARGV[3])
local now = clock()
local held = some_of(p .. 'c:' .. worker, 100)
for i = 1, #held, 2 do
  local _, score, bucket, q = lease_of(held[i], held[i + 1], now)
  if q then
    give_back(worker, held[i], score, bucket, q, 0, now)
  else
    call('HDEL', p .. 'c:' .. worker, held[i])
  end
end
local left = call('HLEN', p .. 'c:' .. worker)
if left == 0 then
  call('ZREM', p .. 'wk', worker)
end
return left

-- lib/giveback.lua: IN HAND -> QUEUED, untouched (I2, I6).

-- Takes the job out of the worker's hand and puts it where it was, or, with a delay, later.
-- A job whose message is gone is only dropped.
local function give_back(worker, job, score, bucket, q, delay, now)
  local id, k = split_job(job)
  local m = p .. 'm:' .. id
  if call('HGET', m, 'q' .. k) then
    local at = tonumber(score)
    if delay > 0 then
      at = (at >= BAND and BAND or 0) + now + delay
      age(m, k, q, bucket)
    end
    enqueue(q, job, at, now)
  else
    add(p .. 'st', 'ghosts', 1)
  end
  call('HDEL', p .. 'c:' .. worker, job)
  count_in_hand(q, -1)
end

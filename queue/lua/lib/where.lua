-- lib/where.lua: finds a job, wherever it is (I2).

-- Returns the place (q, bad, qz, sp, c, or '' : nowhere), its score (token in hand) and the worker.
local function where_is(id, k, q)
  local job = id .. '.' .. k
  local score = q and call('ZSCORE', p .. 'q:' .. q, job)
  if score then
    return 'q', score, ''
  end
  for _, place in ipairs({'bad', 'qz'}) do
    score = call('ZSCORE', p .. place, job)
    if score then
      return place, score, ''
    end
  end
  local from = call('ZSCORE', p .. 'sp', id)
  local staged = from and whole(call('HGET', p .. 'm:' .. id, 's'))
  if staged and tonumber(k) >= tonumber(from) and tonumber(k) <= staged then
    return 'sp', from, ''
  end
  for _, w in ipairs(call('ZRANGE', p .. 'wk', 0, 999)) do
    local lease = call('HGET', p .. 'c:' .. w, job)
    if lease then
      return 'c', split_lease(lease) or '0', w
    end
  end
  return '', '0', ''
end

-- Where a job is, leaving out that it stands in queue q: '' when it is nowhere else.
local function where_else(id, k, q, mine)
  local job = id .. '.' .. k
  if mine and mine ~= q and call('ZSCORE', p .. 'q:' .. mine, job) then
    return 'q'
  end
  return (where_is(id, k, nil))
end

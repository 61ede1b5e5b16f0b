-- lib/admit.lua: a message enters the queue (commit, and the reports of finish).

-- Reads and checks a message at ARGV[i]: id, envelope, text, kind, length, z, bytes.
local function read_message(i)
  local m = {
    id = id_of(ARGV[i]),
    e = str(ARGV[i + 1], 0, 16384, 'envelope'),
    text = str(ARGV[i + 2], 0, 1024, 'text'),
    kind = ARGV[i + 3],
    length = int(ARGV[i + 4], 2 ^ 40, 'length'),
    z = str(ARGV[i + 5], 0, 256, 'body descriptor'),
    bytes = int(ARGV[i + 6], 2 ^ 50, 'bytes') and ARGV[i + 6],
  }
  if m.kind ~= 's' and m.kind ~= 'l' then
    fail('BADARG kind')
  end
  return m
end

-- Checks n jobs at ARGV[i]: Q, delay, job. They are read again when they are written.
local function check_jobs(i, n)
  for at = i, i + (n - 1) * 3, 3 do
    queue_of(ARGV[at])
    int(ARGV[at + 1], DELAY_MAX, 'delay')
    str(ARGV[at + 2], 1, 131072, 'job')
  end
end

-- Whether the body is there as described; a body of another type is as good as none.
local function body_there(m)
  local key = p .. 'b:' .. m.id
  if redis.pcall(m.kind == 's' and 'STRLEN' or 'LLEN', key) ~= m.length then
    return false
  end
  return m.length > 0 or call('EXISTS', key) == 1
end

-- Writes message and jobs; text is now, printed. Jobs first: a queue entry without a message is dropped by claim, a message
-- without a queue entry would wait for check. m.staged jobs are there already; skip[k]: leave it out.
-- Returns the number of jobs and whether workers should be woken.
local function admit(m, i, njobs, skip, now, text, history)
  local key = p .. 'm:' .. m.id
  local fields, f = {'e', m.e, 't', text, 'z', m.z, nil, nil, nil, nil}, 6  -- with room for one job
  local live, wake = m.staged, false
  local first_queue = ''
  for n = 1, njobs do
    local at, k = i + (n - 1) * 3, digits(m.staged + n)
    local q, delay = ARGV[at], int(ARGV[at + 1], DELAY_MAX, 'delay')
    if not (skip and skip[m.staged + n]) then
      local bucket = '0'
      if delay > 0 then
        bucket = digits(math.floor(now / BUCKET_MS))
        count_age(q, bucket, 1)
      end
      if enqueue(q, m.id .. '.' .. k, now + delay, now, delay == 0 and text) then
        wake = true
      end
      fields[f + 1], fields[f + 2] = 'j' .. k, ARGV[at + 2]
      fields[f + 3], fields[f + 4] = 'q' .. k, bucket .. ':' .. q
      f = f + 4
      live = live + 1
      first_queue = q
    end
  end
  call('HSET', key, 'c', digits(m.staged + njobs), 'n', digits(live), unpack(fields, 1, f))
  if m.staged > 0 then
    call('PERSIST', key)
    call('ZADD', p .. 'sp', 1, m.id)
  end
  call('PERSIST', p .. 'b:' .. m.id)
  add(p .. 'st', 'accepted', '1')
  add(p .. 'st', 'bytes', m.bytes)
  if live > 1 then
    add(p .. 'st', 'extra', live - 1)
  end
  track(history, m.id, 'accepted', first_queue, m.text)
  return live, wake
end

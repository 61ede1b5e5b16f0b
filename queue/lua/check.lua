#!lua flags=allow-oom
-- queue/lua/check.lua: proves the invariants for some names, and mends what it finds (README.md).
-- ARGV: 3 repair, 4 part, then names. Returns findings "I<n> <name> <what>"; "MORE <name>" asks for
-- another call with that name. "COUNT", "ST", "DIFFERS" and "MOVED" are for whoever proves I9 (README.md).
-- include "lib/head.lua"
-- include "lib/names.lua"
-- include "lib/value.lua"
-- include "lib/queue.lua"
-- include "lib/record.lua"
-- include "lib/leave.lua"
-- include "lib/named.lua"

local JOBS_A_CALL, FIELDS_OF_JOB, RECOUNT_MAX, DAY_MS = 1000, 6, 2000, 86400000
local LEASE_MAX, NAME_MAX = 3600000, 2 ^ 20
local SCORE_END = 2 * ICE  -- no time, band and ice make as much
local NOWHERE = 'unknown.invalid'  -- of a job that is damaged in itself: whoever claims it puts it into the badmail
local repair, part = int(ARGV[3], 1, 'repair') == 1, ARGV[4] or ''
local now = clock()
local findings = {}

-- Notes a finding; mend is called when repairing.
local function found(invariant, name, what, mend)
  if repair and mend then
    mend()
    what = what .. ' (mended)'
  end
  findings[#findings + 1] = invariant .. ' ' .. name .. ' ' .. what
end

-- What is no name of ours is shown as far as it can be, and is never asked for again.
local function printable(name)
  return (string.gsub(string.sub(name, 1, 40), '[^%w.:!@_-]', '?'))
end

local function foreign(place, name, mend)
  found('I12', place, 'holds ' .. printable(name) .. ', which is no name of ours', mend)
end

local function is_id(s)
  return #s == 16 and not string.find(s, '[^0-9A-Z]')
end

-- As workers read it (queue/queue_name.h).
local function is_queue(q)
  local hex = string.match(q, '^.*!(.*)$')
  return #q >= 1 and #q <= 320 and (not hex or (#q > #hex + 1 and string.find(hex, '^%x+$') and #hex <= 8 and not string.find(hex, '%u')))
end

local function is_worker(w)
  return #w >= 1 and #w <= 64 and not string.find(w, '[^%w_-]')
end

-- Everything in hand, read once a call: J -> number of hands, token -> J, Q -> jobs, J -> bucket and Q.
local hands
local function in_hand()
  if not hands then
    hands = {jobs = {}, by_queue = {}, tokens = {}, homes = {}}
    for _, w in ipairs(call('ZRANGE', p .. 'wk', 0, -1)) do
      local held = call('HGETALL', p .. 'c:' .. w)
      for i = 1, #held, 2 do
        local token, _, bucket, q = split_lease(held[i + 1])
        hands.jobs[held[i]] = (hands.jobs[held[i]] or 0) + 1
        hands.tokens[token or ''] = (hands.tokens[token or ''] or 0) + 1
        if q then
          hands.by_queue[q] = (hands.by_queue[q] or 0) + 1
          hands.homes[held[i]] = {bucket, q}
        end
      end
    end
  end
  return hands
end

-- Where a job is, as a list of places; 'c' once for each hand.
local function places(id, k, q, staged_from, staged)
  local job, at = id .. '.' .. k, {}
  for _ = 1, in_hand().jobs[job] or 0 do
    at[#at + 1] = 'c'
  end
  if call('ZSCORE', p .. 'q:' .. q, job) then
    at[#at + 1] = 'q:' .. q
  end
  for _, place in ipairs({'bad', 'qz'}) do
    if call('ZSCORE', p .. place, job) then
      at[#at + 1] = place
    end
  end
  if staged_from and k >= staged_from and k <= staged then
    at[#at + 1] = 'sp'
  end
  return at
end

-- Bucket and queue of a job of whose queue its message says nothing: as whoever has it in hand knows, or as it was sent to.
local function home_of(job, blob)
  local q = named_by(blob)
  return unpack(in_hand().homes[job] or {'0', q and is_queue(q) and q or NOWHERE})
end

-- I2 of one job: queued again when it is nowhere; in the first of several places.
local function check_place(id, k, blob, home, staged_from, staged)
  local job = id .. '.' .. k
  local bucket, q = split_home(home)
  if not q then
    bucket, q = home_of(job, blob)
    found('I2', job, 'does not name its queue ' .. printable(q), function()
      call('HSET', p .. 'm:' .. id, 'q' .. k, bucket .. ':' .. q)
    end)
    if not repair then
      return
    end
  end
  local at = places(id, k, q, staged_from, staged)
  if #at == 0 then
    found('I2', job, 'is nowhere', function()
      local t = time_of(call('HGET', p .. 'm:' .. id, 't')) or now
      enqueue(q, job, bucket == '0' and t or now, now)
    end)
  elseif #at > 1 then
    found('I2', job, 'is in ' .. table.concat(at, ', '), function()
      for i = 2, #at do
        if at[i] ~= 'c' and at[i] ~= 'sp' then
          call('ZREM', p .. at[i], job)
        end
      end
      rescore(q, now)
    end)
  end
end

-- Jobs first..last of a message: how many live, and how many hash fields they have.
local function check_jobs(id, first, last, staged_from, staged)
  local key, live, fields = p .. 'm:' .. id, 0, 0
  for k = first, last do
    local got = call('HMGET', key, 'j' .. k, 'q' .. k, 'x' .. k, 'f' .. k, 'w' .. k, 'd' .. k)
    local n = 0
    for i = 1, FIELDS_OF_JOB do
      n = n + (got[i] and 1 or 0)
    end
    fields = fields + n
    if got[1] then
      live = live + 1
      check_place(id, k, got[1], got[2], staged_from, staged)
    elseif n > 0 then
      found('I3', id .. '.' .. k, 'has fields but no job', function()
        call('HDEL', key, 'q' .. k, 'x' .. k, 'f' .. k, 'w' .. k, 'd' .. k)
      end)
    end
  end
  return live, fields
end

local function check_body(id, key, ttl)
  local body = p .. 'b:' .. id
  local body_ttl = call('PTTL', body)
  if ttl >= 0 then
    found('I1', id, 'is committed and expires', function()
      call('PERSIST', key)
    end)
  end
  if body_ttl == -2 then
    found('I1', id, 'has no body')
  elseif body_ttl >= 0 then
    found('I1', id, 'has a body that expires', function()
      call('PERSIST', body)
    end)
  end
  if remembered(now, id, -1) then
    found('I7', id, 'is here and has a record of its end', function()
      for ago = -1, 1 do
        call('HDEL', fin_key(now, ago), id)
      end
    end)
  end
end

-- n and what is not of a job; raw: n as it stands there.
local function check_count(id, key, raw, c, live)
  local n = whole(raw) or 0
  if n ~= live or n < 1 or n > c then
    found('I3', id, 'says ' .. n .. ' jobs of ' .. c .. ' and has ' .. live, live > 0 and function()
      call('HSET', key, 'n', live)
    end)
  end
end

local BASE = {'e', 't', 'z', 'c', 'n', 'r', 's'}
local IS_BASE = {}
for _, field in ipairs(BASE) do
  IS_BASE[field] = true
end

-- How many of these there are.
local function check_base(id, key)
  local base, there = call('HMGET', key, unpack(BASE)), 0
  for i = 1, #BASE do
    there = there + (base[i] and 1 or 0)
  end
  if not base[1] or not base[2] or not base[3] or not base[4] then
    found('I3', id, 'lacks envelope, time, body descriptor or number of jobs')
  elseif not time_of(base[2]) then
    found('I3', id, 'says no time of its commit', function()
      call('HSET', key, 't', string.format('%.0f', now))
    end)
  end
  return there
end

-- Jobs beyond c are counted with it, and fields that are nobody's told. True: all that was looked at is all there is.
local function check_fields(id, key, c, last, strays)
  if last > c then
    found('I3', id, 'says ' .. c .. ' jobs ever, and has number ' .. last, last <= JOBS_MAX and function()
      call('HSET', key, 'c', last)
    end)
  elseif strays then
    found('I3', id, 'has fields of no job')
  end
  return last <= c
end

-- A page of the fields of a large message, each judged by its name alone: they come and go meanwhile.
local function look_at_fields(key, cursor, c, last, strays)
  local reply = call('HSCAN', key, cursor, 'COUNT', JOBS_A_CALL)
  for i = 1, #reply[2], 2 do
    local field = reply[2][i]
    local kind, number = string.match(field, '^([jqxfwd])([1-9]%d*)$')
    local k = whole(number)
    if k and kind == 'j' then
      last = math.max(last, k)
    elseif not IS_BASE[field] and not (k and k <= c) then
      strays = 1
    end
  end
  return reply[1], last, strays
end

-- What st says, as whole numbers and as text. What is no number counts for nothing.
local COUNTERS = {'accepted', 'extra', 'gone', 'early'}
local function signed(s)
  local n = tonumber(s) or 0
  return n % 1 == 0 and math.abs(n) < 2 ^ 53 and n or 0
end
local function counters()
  local st, text = call('HMGET', p .. 'st', unpack(COUNTERS)), {}
  for i = 1, #COUNTERS do
    st[i] = signed(st[i])
    text[i] = string.format('%.0f', st[i])
  end
  return st[1], st[2], st[3], st[4], table.concat(text, ' ')
end

-- What went is made to fit what is here; what came only when it is less than that.
local function mend_counters(accepted, extra, messages, jobs)
  accepted, extra = math.max(accepted, messages), math.max(extra, jobs - messages)
  local fit = {accepted, extra, accepted - messages, extra - (jobs - messages)}
  for i, name in ipairs(COUNTERS) do
    call('HSET', p .. 'st', name, string.format('%.0f', fit[i]))
  end
end

-- Each part gets a name and checks it, if it is still there.
local parts = {}

-- A message is looked at in one call, a large one in several: first its fields, "<id>:<cursor> <last> <strays>", then its
-- jobs, "<id>.<k> <n> <live>". n never grows, so while it is what it was no job has left, and the sum over the calls is right.
local looked_through = 0  -- jobs, in this call

local function look_on(id, from, state)
  findings[#findings + 1] = 'MORE ' .. id .. from .. ' ' .. state
end

local function check_large(id, key, raw, c, state)
  local cursor, last, strays = string.match(state, '^:(%d+) (%d+) ([01])$')
  local k, n, live = string.match(state, '^%.(%d+) (%S*) (%d+)$')
  if k then
    k, live = whole(k) or 1, whole(live) or 0
    local staged_from, staged = tonumber(call('ZSCORE', p .. 'sp', id)), whole(call('HGET', key, 's')) or 0
    local to = math.min(c, k + JOBS_A_CALL - 1)
    looked_through = looked_through + JOBS_A_CALL
    live = live + check_jobs(id, k, to, staged_from, staged)
    if to < c then
      look_on(id, '.' .. digits(to + 1), n .. ' ' .. digits(live))
    elseif n == printable(raw) then
      check_count(id, key, raw, c, live)
    end
    return
  end
  looked_through = looked_through + JOBS_A_CALL
  cursor, last, strays = look_at_fields(key, cursor or '0', c, whole(last) or 0, whole(strays) or 0)
  if cursor ~= '0' then
    look_on(id, ':' .. cursor, digits(last) .. ' ' .. digits(strays))
    return
  end
  check_base(id, key)
  -- What is counted when c is mended, is looked at in the next round.
  if check_fields(id, key, c, last, strays == 1) then
    look_on(id, '.1', printable(raw) .. ' 0')
  end
end

function parts.m(name)
  local id, state = string.sub(name, 1, 16), string.sub(name, 17)
  if not is_id(id) then
    return  -- part type tells of it, and so below
  elseif looked_through >= JOBS_A_CALL then
    findings[#findings + 1] = 'MORE ' .. name
    return
  end
  local key = p .. 'm:' .. id
  local n, c, staged = unpack(call('HMGET', key, 'n', 'c', 's'))
  local ttl = call('PTTL', key)
  if ttl == -2 then
    return
  end
  if not n then
    if ttl == -1 then
      found('I1', id, 'is not committed and never expires', function()
        call('PEXPIRE', key, DAY_MS)
      end)
    end
    return
  end
  c = math.min(whole(c) or 0, JOBS_MAX)
  if state == '' then
    check_body(id, key, ttl)
  end
  if c > JOBS_A_CALL or call('HLEN', key) > #BASE + FIELDS_OF_JOB * JOBS_A_CALL then
    check_large(id, key, n, c, state)
    return
  end
  looked_through = looked_through + c
  local live, fields = check_jobs(id, 1, c, tonumber(call('ZSCORE', p .. 'sp', id)), whole(staged) or 0)
  local whole_of_it = true
  fields = fields + check_base(id, key)
  if fields ~= call('HLEN', key) then
    local _, last = jobs_of(key)
    whole_of_it = check_fields(id, key, c, last, true)
  end
  -- n is to be what lives, not what was looked at: judged anew when c is mended.
  if whole_of_it then
    check_count(id, key, n, c, live)
  end
end

-- Only counted: the sums of a call.
local messages_seen, jobs_seen = 0, 0
function parts.n(id)
  local n = is_id(id) and call('HGET', p .. 'm:' .. id, 'n')
  if n then
    messages_seen, jobs_seen = messages_seen + 1, jobs_seen + signed(n)
  end
end

-- I9. "read" asks what the counters say. "<that> <messages> <jobs>" asks whether these fit; the answer "DIFFERS <what>",
-- given again behind another count, makes it a finding. Nothing is said of counters that moved meanwhile.
function parts.st(name)
  local accepted, extra, gone, early, now_says = counters()
  if name == 'read' then
    findings[#findings + 1] = 'ST ' .. now_says
    return
  end
  local says, messages, jobs, before = string.match(name, '^(%-?%d+ %-?%d+ %-?%d+ %-?%d+) (%d+) (%d+) ?(.*)$')
  if not says then
    fail('BADARG counters')
  end
  messages, jobs = signed(messages), signed(jobs)
  local off_messages, off_jobs = accepted - gone - messages, accepted + extra - gone - early - jobs
  local differs = string.format('%.0f %.0f', off_messages, off_jobs)
  if says ~= now_says or (before ~= '' and before ~= differs) then
    findings[#findings + 1] = 'MOVED'
  elseif (off_messages ~= 0 or off_jobs ~= 0) and before == '' then
    findings[#findings + 1] = 'DIFFERS ' .. differs
  elseif off_messages ~= 0 or off_jobs ~= 0 then
    found('I9', 'st', string.format('says %.0f messages of %.0f jobs, there are %.0f of %.0f',
      messages + off_messages, jobs + off_jobs, messages, jobs), function()
      mend_counters(accepted, extra, messages, jobs)
    end)
  end
end

function parts.b(id)
  local key = p .. 'b:' .. id
  if is_id(id) and call('PTTL', key) == -1 and call('HEXISTS', p .. 'm:' .. id, 'n') == 0 then
    found('I1', id, 'is a body without message that never expires', function()
      call('PEXPIRE', key, DAY_MS)
    end)
  end
end

function parts.q(q)
  if not is_queue(q) then
    return
  end
  local n = call('ZCARD', p .. 'q:' .. q)
  local frozen = call('ZSCORE', p .. 'hold', q) == FROZEN
  local looked_at = call('ZSCORE', p .. 'dom', q)
  local function mend()
    rescore(q, now)
  end
  if n > 0 and not frozen and not looked_at then
    found('I5', q, 'has jobs and is never looked at', mend)
  elseif looked_at and (n == 0 or frozen) then
    found('I5', q, 'is looked at, but ' .. (n == 0 and 'empty' or 'frozen'), mend)
  elseif looked_at and tonumber(looked_at) > now then
    local due = math.huge
    for _, from in ipairs({0, BAND}) do
      local head = call('ZRANGE', p .. 'q:' .. q, from, '+inf', 'BYSCORE', 'LIMIT', 0, 1, 'WITHSCORES')
      if head[1] and (from > 0 or tonumber(head[2]) < BAND) then
        due = math.min(due, tonumber(head[2]) - from)
      end
    end
    local hold = tonumber(call('ZSCORE', p .. 'hold', q)) or 0
    if tonumber(looked_at) > math.max(due, hold) then
      found('I5', q, 'is looked at too late', mend)
    end
  end
end

function parts.dom(q)
  if is_queue(q) then
    parts.q(q)
  else
    foreign('dom', q, function()
      call('ZREM', p .. 'dom', q)
    end)
  end
end

-- An entry "<J> <Q>" of a queue.
function parts.e(name)
  local job, q = string.match(name, '^([0-9A-Z]+%.%d+) (.+)$')
  if not job or not is_job(job) then
    -- What is in front of a queue's name may hold blanks, too.
    for at = 1, #name do
      local member, of = string.sub(name, 1, at - 1), string.sub(name, at + 1)
      if string.byte(name, at) == 32 and call('ZSCORE', p .. 'q:' .. of, member) then
        foreign('q:' .. printable(of), member, function()
          call('ZREM', p .. 'q:' .. of, member)
          rescore(of, now)
        end)
        return
      end
    end
    return
  end
  local id, k = split_job(job)
  local score = call('ZSCORE', p .. 'q:' .. q, job)
  if not score then
    return
  end
  local blob, home, t, n = unpack(call('HMGET', p .. 'm:' .. id, 'j' .. k, 'q' .. k, 't', 'n'))
  local bucket, mine = split_home(home)
  if not blob or not n then
    found('I2', job, 'is queued in ' .. q .. ' but is no job', function()
      call('ZREM', p .. 'q:' .. q, job)
      rescore(q, now)
    end)
  elseif not mine then
    found('I2', job, 'does not name its queue ' .. q, function()
      call('HSET', p .. 'm:' .. id, 'q' .. k, '0:' .. q)
    end)
  elseif mine ~= q then
    found('I2', job, 'is queued in ' .. q .. ' but belongs to ' .. (mine or 'none'), function()
      call('ZREM', p .. 'q:' .. q, job)
      rescore(q, now)
    end)
  elseif not string.find(score, '^%d+$') or tonumber(score) >= SCORE_END then
    found('I8', job, 'is due at no time', function()
      age(p .. 'm:' .. id, k, q, bucket)
      enqueue(q, job, now, now)
    end)
  elseif bucket == '0' and score ~= t then
    found('I8', job, 'is fresh but not in order of arrival', function()
      age(p .. 'm:' .. id, k, q, bucket)
    end)
  elseif tonumber(score) >= ICE and not call('ZSCORE', p .. 'ice', job) then
    found('I13', job, 'is frozen, but not counted', function()
      call('ZADD', p .. 'ice', now, job)
    end)
  end
end

-- The jobs that are frozen one by one.
function parts.ice(job)
  local id, k = split_job(job)
  if not call('ZSCORE', p .. 'ice', job) then
    return
  elseif not is_job(job) then
    foreign('ice', job, function()
      thaw_job(job)
    end)
    return
  end
  local _, q = split_home(call('HGET', p .. 'm:' .. id, 'q' .. k))
  if tonumber(q and call('ZSCORE', p .. 'q:' .. q, job) or 0) < ICE then
    found('I13', job, 'is counted as frozen, but is not', function()
      thaw_job(job)
    end)
  end
end

-- Badmail and quarantine: jobs only, and not counted by age.
local function check_kept(place)
  return function(job)
    local id, k = split_job(job)
    if not call('ZSCORE', p .. place, job) then
      return
    elseif not is_job(job) then
      foreign(place, job, function()
        call('ZREM', p .. place, job)
      end)
      return
    end
    local blob, home = unpack(call('HMGET', p .. 'm:' .. id, 'j' .. k, 'q' .. k))
    local bucket, q = split_home(home)
    if not blob then
      found('I2', job, 'is in ' .. place .. ' but is no job', function()
        call('ZREM', p .. place, job)
      end)
    elseif q and bucket ~= '0' then  -- part m tells of one that does not name its queue
      found('I8', job, 'is in ' .. place .. ' and counted by age', function()
        call('HSET', p .. 'm:' .. id, 'q' .. k, '0:' .. q)
      end)
    end
  end
end
parts.bad, parts.qz = check_kept('bad'), check_kept('qz')

-- Leases. No worker has one for longer than it may ask for; what is no worker's name, reap drops.
function parts.wk(worker)
  local ends = tonumber(call('ZSCORE', p .. 'wk', worker) or 0)
  if ends > now + LEASE_MAX then
    found('I4', printable(worker), 'has a lease that nobody gave', function()
      call('ZADD', p .. 'wk', now + LEASE_MAX, worker)
    end)
  end
end

function parts.c(worker)
  if not is_worker(worker) then
    return
  end
  local held = call('HGETALL', p .. 'c:' .. worker)
  if #held > 0 and not call('ZSCORE', p .. 'wk', worker) then
    found('I4', worker, 'holds jobs without a lease', function()
      call('ZADD', p .. 'wk', 0, worker)
    end)
  end
  local last = last_token()
  for i = 1, #held, 2 do
    local job = held[i]
    local id, k = split_job(job)
    local token, _, _, q = split_lease(held[i + 1])
    local blob, home = unpack(call('HMGET', p .. 'm:' .. id, 'j' .. k, 'q' .. k))
    local _, mine = split_home(home)
    if not is_job(job) or not token or not blob or (mine and mine ~= q) then  -- part m tells of one that does not name its queue
      found('I2', printable(job), 'is in the hands of ' .. worker .. ' but is no job', function()
        call('HDEL', p .. 'c:' .. worker, job)
      end)
    elseif tonumber(token) > last then
      found('I4', job, 'has a token that was never given', function()
        call('SET', p .. 'tok', token)
      end)
    elseif (in_hand().tokens[token] or 0) > 1 then
      found('I4', job, 'shares its token')
    end
  end
end

-- All of inf at once: its size is that of what is in hand. Names are not looked at.
function parts.inf()
  local want, have, all = in_hand().by_queue, {}, call('HGETALL', p .. 'inf')
  for i = 1, #all, 2 do
    have[all[i]] = tonumber(all[i + 1]) or 0
    if have[all[i]] ~= want[all[i]] then
      found('I6', all[i], 'says ' .. all[i + 1] .. ' in hand, it is ' .. (want[all[i]] or 0), function()
        call('HDEL', p .. 'inf', all[i])
        if want[all[i]] then
          call('HSET', p .. 'inf', all[i], want[all[i]])
        end
      end)
    end
  end
  for q, n in pairs(want) do
    if not have[q] then
      found('I6', q, 'says nothing in hand, it is ' .. n, function()
        call('HSET', p .. 'inf', q, n)
      end)
    end
  end
end

-- The ages of a queue, counted again from its jobs; nil when there are too many to count in one call.
local function recount(q)
  local zq = p .. 'q:' .. q
  if call('ZCARD', zq) + (in_hand().by_queue[q] or 0) > RECOUNT_MAX then
    return nil
  end
  local jobs, ages = call('ZRANGE', zq, 0, -1), {}
  for job, home in pairs(in_hand().homes) do
    if home[2] == q then
      jobs[#jobs + 1] = job
    end
  end
  for _, job in ipairs(jobs) do
    local id, k = split_job(job)
    local bucket, mine = split_home(call('HGET', p .. 'm:' .. id, 'q' .. k))
    if mine == q and bucket ~= '0' then
      ages[bucket] = (ages[bucket] or 0) + 1
    end
  end
  return ages
end

function parts.a(q)
  if not is_queue(q) then
    return
  end
  local key, want, have, sum, wrong = p .. 'a:' .. q, recount(q), {}, 0, false
  local all = call('HGETALL', key)
  for i = 1, #all, 2 do
    local n = tonumber(all[i + 1])
    have[all[i]] = n
    if tonumber(all[i]) then
      sum = sum + (n or 0)
      wrong = wrong or not n or n < 1 or (want and want[all[i]] ~= n)
    end
  end
  for bucket, n in pairs(want or {}) do
    wrong = wrong or have[bucket] ~= n
  end
  if wrong or (have.n or 0) ~= sum or (#all > 0 and sum == 0) then
    found('I8', q, 'is not counted right by age', want and function()
      local err, at = unpack(call('HMGET', key, 'err', 'at'))
      call('DEL', key)
      for bucket, n in pairs(want) do
        call('HSET', key, bucket, n)
        call('HINCRBY', key, 'n', n)
        call('HSET', key, 'err', err or '', 'at', at or now)
      end
    end)
  end
end

function parts.fz(q)
  if not is_queue(q) then
    foreign('fz', q, function()
      call('HDEL', p .. 'fz', q)
    end)
  elseif call('HEXISTS', p .. 'fz', q) == 1 and call('ZSCORE', p .. 'hold', q) ~= FROZEN then
    found('I10', q, 'is frozen but not held', function()
      call('ZADD', p .. 'hold', FROZEN, q)
      call('ZREM', p .. 'dom', q)
    end)
  end
end

function parts.hold(q)
  local hold = call('ZSCORE', p .. 'hold', q)
  if hold and not is_queue(q) then
    foreign('hold', q, function()
      call('ZREM', p .. 'hold', q)
    end)
  elseif hold == FROZEN then
    if call('HEXISTS', p .. 'fz', q) == 0 then
      found('I10', q, 'is held as frozen, but nobody froze it', function()
        call('HSET', p .. 'fz', q, string.format('%.0f', now) .. '\n\nfound by check')
      end)
    end
  elseif tonumber(hold or 0) > now + DELAY_MAX then
    found('I5', q, 'is held for longer than anybody may ask', function()
      call('ZREM', p .. 'hold', q)
      rescore(q, now)
    end)
  end
end

function parts.fin(epoch)
  local key = p .. 'fin:' .. epoch
  if call('PTTL', key) == -1 then
    found('I7', epoch, 'is a record that never expires', function()
      call('PEXPIRE', key, 2 * EPOCH_MS)
    end)
  end
end

function parts.sp(id)
  if not is_id(id) then
    foreign('sp', id, function()
      call('ZREM', p .. 'sp', id)
    end)
  elseif call('ZSCORE', p .. 'sp', id) and call('HEXISTS', p .. 'm:' .. id, 's') == 0 then
    found('I2', id, 'has no jobs to be queued', function()
      call('ZREM', p .. 'sp', id)
    end)
  end
end

-- Keys by what they begin with; of the slots, too. A body of several chunks is a list.
local TYPES = {
  ['m:'] = 'hash', ['b:'] = 'string', ['c:'] = 'hash', ['a:'] = 'hash', ['q:'] = 'zset', ['fin:'] = 'hash',
  dom = 'zset', bad = 'zset', qz = 'zset', sp = 'zset', ice = 'zset', hold = 'zset', wk = 'zset', fz = 'hash', inf = 'hash', st = 'hash',
  tok = 'string', g = 'string', ev = 'stream',
  ['h:'] = 'hash', ['i:'] = 'string', ['l:'] = 'hash', w = 'zset', d = 'hash', t = 'string', ls = 'zset',
}

-- What follows must be a name.
local NAMES = {['m:'] = is_id, ['b:'] = is_id, ['c:'] = is_worker, ['a:'] = is_queue, ['q:'] = is_queue}

-- name is all that follows the tag.
function parts.type(name)
  local kind = string.match(name, '^%l+:') or name
  local want, is = TYPES[kind], call('TYPE', p .. name).ok
  local function move()
    call('RENAME', p .. name, p .. 'alien:' .. string.format('%.0f', now) .. ':' .. name)
  end
  if is == 'none' then
    return
  elseif want and is ~= want and not (kind == 'b:' and is == 'list') then
    found('I12', printable(name), 'holds a ' .. is .. ', not a ' .. want .. ': somebody else wrote it; repair moves it to alien:', move)
  elseif NAMES[kind] and not NAMES[kind](string.sub(name, #kind + 1)) then
    found('I12', printable(name), 'is no name of ours: somebody else wrote it; repair moves it to alien:', move)
  end
end

local check = parts[part]
if not check or #ARGV > 104 then
  fail('BADARG part or names')
end
if part == 'inf' then
  check()
else
  for i = 5, #ARGV do
    check(str(ARGV[i], 1, NAME_MAX, 'name'))
  end
end
if part == 'n' then
  findings[1] = string.format('COUNT %.0f %.0f', messages_seen, jobs_seen)
end
return findings

#!lua flags=allow-oom
-- queue/lua/routing.lua: what everybody may read of routing, and tell the master router.
-- ARGV: 3 verb, then
--   table have [worker lease] | report connector target ok(0|1) text | word connector word(auto|up|down) for by reason
--   words | links | routers | workers | peers | history count | ask id verb argument | answered id
-- Returns: README.md.
-- include "lib/head.lua"
-- include "lib/value.lua"
-- include "lib/routes.lua"

local REPORTS_MAX, WORDS_MAX, ASKED_MAX, WORKERS_MAX, LEASE_MAX = 20000, 4096, 1000, 2000, 3600000
local now = clock()
local verbs = {}

-- A worker lives: of those that are named alike the last to end counts. What ended is forgotten.
local function present(worker, lease)
  call('ZREMRANGEBYSCORE', p .. 'workers', '-inf', '(' .. string.format('%.0f', now))
  if call('ZCARD', p .. 'workers') < WORKERS_MAX or call('ZSCORE', p .. 'workers', worker) then
    call('ZADD', p .. 'workers', 'GT', now + lease, worker)
  end
end

-- version, published at, by, now, bytes ("" : the caller has this version). A worker says with it that it lives.
function verbs.table()
  local have = int(ARGV[4], 1e15, 'version')
  if ARGV[5] then
    present(name_of(ARGV[5]), int(ARGV[6], LEASE_MAX, 'lease'))
  end
  local t = call('HMGET', p .. 'table', 'v', 'at', 'by')
  local version = whole(t[1]) or 0
  local bytes = version ~= have and call('HGET', p .. 'table', 'b') or ''
  return {version, whole(t[2]) or 0, t[3] or '', now, bytes or ''}
end

function verbs.report()
  local connector, target = name_of(ARGV[4]), str(ARGV[5], 1, 320, 'target')
  local ok, text = int(ARGV[6], 1, 'ok'), str(ARGV[7], 0, 256, 'text')
  local field = connector .. '\n' .. target
  if call('HLEN', p .. 'rep') >= REPORTS_MAX and call('HEXISTS', p .. 'rep', field) == 0 then
    return 0
  end
  call('HSET', p .. 'rep', field, string.format('%d', ok) .. text)
  call('PUBLISH', p .. 'say', 'r')
  return 1
end

function verbs.word()
  local connector, word = name_of(ARGV[4]), ARGV[5]
  local delay = int(ARGV[6], 315360000000, 'time')
  local by, reason = str(ARGV[7], 0, 64, 'by'), str(ARGV[8], 0, 256, 'reason')
  if word == 'auto' then
    call('HDEL', p .. 'words', connector)
  elseif word == 'up' or word == 'down' then
    if call('HLEN', p .. 'words') >= WORDS_MAX and call('HEXISTS', p .. 'words', connector) == 0 then
      fail('BADARG too many overrides')
    end
    local untl = delay == 0 and '0' or string.format('%.0f', now + delay)
    call('HSET', p .. 'words', connector, word .. '\n' .. untl .. '\n' .. string.gsub(by, '\n', ' ') .. '\n' .. reason)
  else
    fail('BADARG word')
  end
  call('PUBLISH', p .. 'say', 'w')
  return 1
end

-- now, {connector, word, until, by, reason}*; flat. What has run out is left out.
local function words_in_force(reply)
  local all = call('HGETALL', p .. 'words')
  for i = 1, #all, 2 do
    local word, untl, by, reason = string.match(all[i + 1], '^(%l+)\n(%d+)\n([^\n]*)\n(.*)$')
    if word and (untl == '0' or tonumber(untl) > now) then
      local n = #reply
      reply[n + 1], reply[n + 2], reply[n + 3], reply[n + 4], reply[n + 5] = all[i], word, untl, by, reason
    end
  end
  return reply
end

function verbs.words()
  return words_in_force({now})
end

-- now, {connector, bytes}*; flat.
function verbs.links()
  local reply = {now}
  for _, v in ipairs(call('HGETALL', p .. 'links')) do
    reply[#reply + 1] = v
  end
  return reply
end

-- now, master ("" : none), since, {router, end of lease, info}*; flat.
function verbs.routers()
  local m = call('HMGET', p .. 'master', 'n', 's', 'u')
  local lives = (whole(m[3]) or 0) > now
  local reply = {now, lives and m[1] or '', whole(m[2]) or 0}
  local all = call('ZRANGE', p .. 'routers', 0, 99, 'WITHSCORES')
  for i = 1, #all, 2 do
    local n = #reply
    reply[n + 1], reply[n + 2] = all[i], math.min(math.max(tonumber(all[i + 1]), 0), 1e15)
    reply[n + 3] = call('HGET', p .. 'info', all[i]) or ''
  end
  return reply
end

-- now, worker*: those that live.
function verbs.workers()
  local reply = {now}
  for _, name in ipairs(call('ZRANGE', p .. 'workers', now, '+inf', 'BYSCORE', 'LIMIT', 0, WORKERS_MAX)) do
    reply[#reply + 1] = name
  end
  return reply
end

function verbs.peers()
  local t = call('HMGET', p .. 'peers', 'b', 'at')
  return {now, whole(t[2]) or 0, t[1] or ''}
end

-- now, {at, what, group, connector, version, text}*, the newest first; flat.
function verbs.history()
  local reply = {now}
  for _, one in ipairs(call('XREVRANGE', p .. 'ev', '+', '-', 'COUNT', math.max(1, int(ARGV[4], 10000, 'count')))) do
    local f, n = {}, #reply
    for i = 1, #one[2], 2 do
      f[one[2][i]] = one[2][i + 1]
    end
    reply[n + 1], reply[n + 2], reply[n + 3] = f.a or '0', f.w or '', f.g or ''
    reply[n + 4], reply[n + 5], reply[n + 6] = f.c or '', f.v or '', f.t or ''
  end
  return reply
end

-- 1, or 0: nobody takes questions.
function verbs.ask()
  local id, verb = ask_of(ARGV[4]), str(ARGV[5], 1, 16, 'verb')
  local argument = str(ARGV[6], 0, 256, 'argument')
  if string.find(verb, '[^%l]') then
    fail('BADARG verb')
  end
  if call('LLEN', p .. 'ask') >= ASKED_MAX then
    return 0
  end
  call('RPUSH', p .. 'ask', id .. '\n' .. verb .. '\n' .. argument)
  call('PEXPIRE', p .. 'ask', 60000)
  call('PUBLISH', p .. 'say', 'q')
  return 1
end

-- [] : not yet; else code, text.
function verbs.answered()
  local text = call('GET', p .. 'ans:' .. ask_of(ARGV[4]))
  if not text then
    return {}
  end
  local code, answer = string.match(text, '^(%d+)\n(.*)$')
  return {whole(code) or 0, answer or ''}
end

local verb = verbs[ARGV[3] or '']
if not verb then
  fail('BADARG verb')
end
return verb()

#!lua flags=allow-oom
-- queue/lua/master.lua: the lease of the master router, and what only its holder may write.
-- ARGV: 3 verb, 4 router, then
--   take lease info | renew token lease [info] | leave token | load token
--   save token version config | publish token notify(0|1) bytes | links token {connector, bytes}*
--   peers token bytes | event token {what, group, connector, version, text}*
--   reports token max | asked token max | answer token id code text
-- Returns: README.md. A token that is not the lease's gets EXPIRED: a master that slept cannot write any more.
-- include "lib/head.lua"
-- include "lib/value.lua"
-- include "lib/routes.lua"

local LEASE_MAX, TOKEN_END = 600000, 9e14
local now = clock()
local router = router_of(ARGV[4])

local function lease_of(s)
  local ms = int(s, LEASE_MAX, 'lease')
  if ms < 1 then
    fail('BADARG lease')
  end
  return ms
end

-- The lease may have run out: as long as nobody else took it, its holder is still the only one.
local function mine()
  local have = call('HMGET', p .. 'master', 'n', 'k')
  if have[1] ~= router or have[2] ~= ARGV[5] then
    fail('EXPIRED another router is master')
  end
end

-- The last token; nil: what is there is none.
local function token_before()
  local token = whole(call('GET', p .. 'tok'))
  return token and token < TOKEN_END and token or nil
end

local verbs = {}

-- token (0: somebody else has it), holder, what is left of its lease, since when
function verbs.take()
  local lease, info = lease_of(ARGV[5]), str(ARGV[6], 0, 256, 'info')
  call('ZADD', p .. 'routers', now + lease, router)
  call('HSET', p .. 'info', router, info)
  for _, gone in ipairs(call('ZRANGE', p .. 'routers', '-inf', now - 600000, 'BYSCORE', 'LIMIT', 0, 16)) do
    call('ZREM', p .. 'routers', gone)
    call('HDEL', p .. 'info', gone)
  end
  local have = call('HMGET', p .. 'master', 'n', 'u', 's')
  local left = (whole(have[2]) or 0) - now
  if left > lease then -- Redis's clock went back: nobody may wait for the time that it lost
    left = lease
    call('HSET', p .. 'master', 'u', string.format('%.0f', now + lease))
  end
  if have[1] and have[1] ~= router and left > 0 then
    return {0, have[1], left, whole(have[3]) or 0}
  end
  -- Not below the clock, so that a failover which loses the last token gives none twice.
  local token = math.max((token_before() or 0) + 1, now)
  call('SET', p .. 'tok', string.format('%.0f', token))
  call('HSET', p .. 'master', 'n', router, 'k', string.format('%.0f', token), 'u', string.format('%.0f', now + lease),
    's', string.format('%.0f', now))
  call('PUBLISH', p .. 'say', 'm')
  return {token, router, lease, now}
end

function verbs.renew()
  mine()
  local lease = lease_of(ARGV[6])
  call('HSET', p .. 'master', 'u', string.format('%.0f', now + lease))
  call('ZADD', p .. 'routers', now + lease, router)
  if ARGV[7] then
    call('HSET', p .. 'info', router, str(ARGV[7], 0, 256, 'info'))
  end
  return 1
end

-- Also for a router that is not master: it is no member any more.
function verbs.leave()
  call('ZREM', p .. 'routers', router)
  call('HDEL', p .. 'info', router)
  local have = call('HMGET', p .. 'master', 'n', 'k')
  if have[1] == router and have[2] == ARGV[5] then
    call('HSET', p .. 'master', 'u', '0', 'n', '')
    call('PUBLISH', p .. 'say', 'm')
    return 1
  end
  return 0
end

-- own version, its configuration's digest, then the states of connectors as they were left: {connector, bytes}*
function verbs.load()
  mine()
  local own = call('HMGET', p .. 'own', 'v', 'c')
  local reply = {own[1] or '', own[2] or ''}
  for _, v in ipairs(call('HGETALL', p .. 'links')) do
    reply[#reply + 1] = v
  end
  return reply
end

function verbs.save()
  mine()
  local version, config = version_of(ARGV[6]), str(ARGV[7], 0, 64, 'config')
  local have = call('HGET', p .. 'own', 'v')
  if have and is_version(have) and have ~= version and not newer(version, have) then
    fail('BADARG the version would go back')
  end
  call('HSET', p .. 'own', 'v', version, 'c', config)
  return 1
end

function verbs.publish()
  mine()
  local notify, bytes = int(ARGV[6], 1, 'notify'), str(ARGV[7], 0, 50331648, 'table')
  -- Not below the clock, so that no version is given twice after a failover that lost the last one.
  local version = whole(call('HGET', p .. 'table', 'v')) or 0
  if notify == 1 then
    version = math.max(version + 1, now)
  elseif version == 0 then
    fail('BADARG notify')
  end
  call('HSET', p .. 'table', 'v', string.format('%.0f', version), 'at', string.format('%.0f', now), 'by', router,
    'b', bytes)
  if notify == 1 then
    call('PUBLISH', p .. 'say', 't' .. string.format('%.0f', version))
  end
  return version
end

function verbs.links()
  mine()
  if #ARGV % 2 ~= 1 or #ARGV > 2005 then
    fail('BADARG links')
  end
  for i = 6, #ARGV, 2 do
    local name, bytes = name_of(ARGV[i]), str(ARGV[i + 1], 0, 262144, 'link')
    if bytes == '' then
      call('HDEL', p .. 'links', name)
    else
      call('HSET', p .. 'links', name, bytes)
    end
  end
  return 1
end

function verbs.peers()
  mine()
  call('HSET', p .. 'peers', 'b', str(ARGV[6], 0, 1048576, 'peers'), 'at', string.format('%.0f', now))
  return 1
end

function verbs.event()
  mine()
  if (#ARGV - 5) % 5 ~= 0 or #ARGV > 505 then
    fail('BADARG events')
  end
  for i = 6, #ARGV, 5 do
    call('XADD', p .. 'ev', 'MAXLEN', '~', 10000, '*', 'a', string.format('%.0f', now), 'w', str(ARGV[i], 1, 16, 'what'),
      'g', str(ARGV[i + 1], 0, 63, 'group'), 'c', str(ARGV[i + 2], 0, 63, 'connector'),
      'v', str(ARGV[i + 3], 0, 40, 'version'), 't', str(ARGV[i + 4], 0, 256, 'text'))
  end
  return 1
end

-- What workers found out since the last call: {connector, target, ok, text}*; flat.
function verbs.reports()
  mine()
  local max, reply = int(ARGV[6], 1000, 'max'), {}
  local page = call('HSCAN', p .. 'rep', '0', 'COUNT', max)[2]
  for i = 1, #page, 2 do
    local connector, target = string.match(page[i], '^([^\n]*)\n(.*)$')
    local ok, text = string.match(page[i + 1], '^([01])(.*)$')
    if target and ok then
      local n = #reply
      reply[n + 1], reply[n + 2], reply[n + 3], reply[n + 4] = connector, target, ok, text
    end
    call('HDEL', p .. 'rep', page[i])
  end
  return reply
end

-- {id, verb, argument}*; flat.
function verbs.asked()
  mine()
  local max, reply = int(ARGV[6], 100, 'max'), {}
  for _ = 1, max do
    local one = call('LPOP', p .. 'ask')
    if not one then
      break
    end
    local id, verb, argument = string.match(one, '^([^\n]*)\n([^\n]*)\n(.*)$')
    if id then
      local n = #reply
      reply[n + 1], reply[n + 2], reply[n + 3] = id, verb, argument
    end
  end
  return reply
end

function verbs.answer()
  mine()
  local id, code = ask_of(ARGV[6]), int(ARGV[7], 1000, 'code')
  call('SET', p .. 'ans:' .. id, code .. '\n' .. str(ARGV[8], 0, 1048576, 'answer'), 'PX', 60000)
  call('PUBLISH', p .. 'say', 'a' .. id)
  return 1
end

local verb = verbs[ARGV[3] or '']
if not verb then
  fail('BADARG verb')
end
return verb()

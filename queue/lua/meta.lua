#!lua flags=allow-oom
-- queue/lua/meta.lua: what is fixed when the store is installed.
-- ARGV: 3 verb: open version partitions tags | read | ready
-- Returns schema, partitions, tags, state; nothing when there is no store; 1 for ready.
local call = redis.call
local p = string.sub(KEYS[1] or '', 1, -2)
local meta = p .. 'meta'
local verb = ARGV[3]
local low, high = tonumber(ARGV[1]), tonumber(ARGV[2])
if #KEYS ~= 2 or not low or not high or not (verb == 'open' or verb == 'read' or verb == 'ready') then
  return redis.error_reply('BADARG verb')
end

local have = call('HMGET', meta, 'schema', 'partitions', 'tags', 'state')
if have[1] then
  local v = tonumber(string.match(have[1], "^%d+$") or "")
  if not v or v < low or v > high then
    return redis.error_reply('SCHEMA ' .. (v or 'none'))
  end
  if verb == 'ready' then
    call('HSET', meta, 'state', 'ready')
    return 1
  end
  return {have[1], have[2] or '0', have[3] or '', have[4] or ''}
end
if verb == 'read' then
  return {}
elseif verb == 'ready' then
  return redis.error_reply('SCHEMA none')
end

local version, partitions, tags = tonumber(ARGV[4]), tonumber(ARGV[5]), ARGV[6] or ''
if not version or version < low or version > high or version % 1 ~= 0 then
  return redis.error_reply('BADARG version')
end
local n = 0
for _ in string.gmatch(tags, '%S+') do
  n = n + 1
end
if not partitions or partitions < 1 or partitions > 4096 or n ~= partitions or #tags > 262144 then
  return redis.error_reply('BADARG partitions')
end
call('SET', KEYS[1], ARGV[4])
call('HSET', meta, 'schema', ARGV[4], 'partitions', ARGV[5], 'tags', tags, 'state', 'installing')
return {ARGV[4], ARGV[5], tags, 'installing'}

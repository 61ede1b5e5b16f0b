#!lua flags=allow-oom
-- queue/lua/init.lua: makes the schema mark g of one tag.
-- ARGV: 1, 2 lowest and highest schema, 3 version. Returns 1 made, 0 was there.
if #KEYS ~= 2 or not string.find(ARGV[3] or '', '^[1-9]%d?%d?$') then
  return redis.error_reply('BADARG version')
end
return redis.call('SETNX', KEYS[1], ARGV[3])

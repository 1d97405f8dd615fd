-- mark.lua: publish where a topic is, in the order of its events.
-- KEYS[1] topic, as of publish.lua
-- ARGV[1] PUBLISH or SPUBLISH  ARGV[2] channel of one process's marks  ARGV[3] name of the
-- mark  ARGV[4] epoch to begin, if the topic is new  ARGV[5] ttl, ms, or 0
-- Returns 1, or an error if the user may not ask for INFO.
-- Expiry: ttl from now; none where 0.
local info = redis.pcall('INFO', 'replication')
if type(info) == 'table' and info.err and string.find(info.err, 'NOPERM', 1, true) then
  return info
end
-- Changes with every failover and restart: without it, nothing tells whether the numbers
-- have gone back and forth since.
local course = type(info) == 'string' and string.match(info, 'master_replid:(%x+)') or '-'
local state = redis.call('HMGET', KEYS[1], 'e', 'n', 't', 'i')
if not (state[1] and state[2] and state[3] and state[4]) then
  state = {ARGV[4], '0', '-', '-'}
  redis.call('HSET', KEYS[1], 'e', state[1], 'n', '0', 't', '-', 'i', '-')
end
if ARGV[5] ~= '0' then
  redis.call('PEXPIRE', KEYS[1], ARGV[5])
end
redis.call(ARGV[1], ARGV[2], table.concat({ARGV[3], state[1], state[2], state[3], state[4], course}, ' '))
return 1

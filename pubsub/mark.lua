-- mark.lua: publish where a topic is, in the order of its events.
-- KEYS[1] topic, as of number.lua
-- ARGV[1] PUBLISH or SPUBLISH  ARGV[2] channel of one process's marks  ARGV[3] name of the
-- mark  ARGV[4] epoch to begin, if the topic is new  ARGV[5] ttl, ms, or 0
-- Returns 1.
-- Expiry: ttl from now; none where 0.
-- The course changes with every failover and restart: without it, nothing tells whether the
-- numbers have gone back and grown again since. '?' where the user may not ask.
local info = redis.pcall('INFO', 'replication')
local course = '?'
if type(info) == 'string' then
  course = string.match(info, 'master_replid:(%x+)') or '?'
elseif info.err and string.find(info.err, 'not supported', 1, true) then
  course = '-' -- in tests, by a server that has no replicas
end
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

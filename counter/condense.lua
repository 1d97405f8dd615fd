-- condense.lua: make a HyperLogLog of a set that has become too large.
-- KEYS[1] set  KEYS[2] where it is made
-- ARGV[1] how many members a set may have
-- Returns 1.
-- Expiry: that of the set goes on. Where it is made, a minute: a script that is stopped by
-- an error leaves it behind, and the set as it was.
if redis.call('TYPE', KEYS[1]).ok ~= 'set' or redis.call('SCARD', KEYS[1]) <= tonumber(ARGV[1]) then
  return 1
end
local members = redis.call('SMEMBERS', KEYS[1])
redis.call('PEXPIRE', KEYS[2], 60000)
for i = 1, #members, 1000 do
  redis.call('PFADD', KEYS[2], unpack(members, i, math.min(i + 999, #members)))
  redis.call('PEXPIRE', KEYS[2], 60000)
end
local ttl = redis.call('PTTL', KEYS[1])
redis.call('RENAME', KEYS[2], KEYS[1])
if ttl > 0 then
  redis.call('PEXPIRE', KEYS[1], ttl)
else
  redis.call('PERSIST', KEYS[1])
end
return 1

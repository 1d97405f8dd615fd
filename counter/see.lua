-- see.lua: note members of a set.
-- KEYS[1] set: a set, or a HyperLogLog
-- ARGV[1] how many members a set may have; -1: none, begin with a HyperLogLog
-- ARGV[2] ttl, ms; 0 none  ARGV[3]… members
-- Returns 1, or 0 if it is a set that has more members now.
-- Expiry: ttl from the first time, and again if it was lost. On a key that is not there
-- yet PEXPIRE shows that it may be set.
local members = {unpack(ARGV, 3)}
local kind = redis.call('TYPE', KEYS[1]).ok
local function expire()
  if ARGV[2] ~= '0' then
    redis.call('PEXPIRE', KEYS[1], ARGV[2], 'NX')
  end
end
if kind == 'none' then
  expire()
end
if kind == 'set' or kind == 'none' and ARGV[1] ~= '-1' then
  redis.call('SADD', KEYS[1], unpack(members))
  expire()
  if redis.call('SCARD', KEYS[1]) > tonumber(ARGV[1]) then
    return 0
  end
else
  redis.call('PFADD', KEYS[1], unpack(members))
  expire()
end
return 1

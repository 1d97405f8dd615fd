-- see.lua: note members of a set.
-- KEYS[1] set: a set, or a HyperLogLog
-- ARGV[1] how many members a set may have; -1: none, begin with a HyperLogLog
-- ARGV[2] ttl, ms; 0 none  ARGV[3]… members
-- Returns 1, or 0 if it is a set that has more members now.
-- Expiry: ttl from the first time, and again if it was lost; a set that cannot be given one
-- is not made.
local members = {unpack(ARGV, 3)}
local kind = redis.call('TYPE', KEYS[1]).ok
local isSet = kind == 'set' or kind == 'none' and ARGV[1] ~= '-1'
redis.call(isSet and 'SADD' or 'PFADD', KEYS[1], unpack(members))
if ARGV[2] ~= '0' then
  local expires = redis.pcall('PEXPIRE', KEYS[1], ARGV[2], 'NX')
  if type(expires) == 'table' then
    if kind == 'none' then
      redis.call('UNLINK', KEYS[1])
    end
    return expires
  end
end
if isSet and redis.call('SCARD', KEYS[1]) > tonumber(ARGV[1]) then
  return 0
end
return 1

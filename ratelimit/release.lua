-- release.lua: give a lease back.
-- KEYS[1] leases: a sorted set of ids by the time when they end, us
-- ARGV[1] id
-- Returns 1, or 0 if the lease had ended.
-- Expiry: the lease goes, and the key with the last one.
local t = redis.call('TIME')
local ends = redis.call('ZSCORE', KEYS[1], ARGV[1])
if not ends then
  return 0
end
redis.call('ZREM', KEYS[1], ARGV[1])
if tonumber(ends) <= t[1] * 1000000 + t[2] then
  return 0
end
return 1

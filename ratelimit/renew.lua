-- renew.lua: prolong a lease that is held.
-- KEYS[1] leases: a sorted set of ids by the time when they end, us
-- ARGV[1] id  ARGV[2] term of the lease, us  ARGV[3] the same, ms
-- Returns 1, or 0 if the lease has ended.
-- Expiry: the lease ends a term from now, and the key when the last one does; what
-- has ended stays so.
local t = redis.call('TIME')
local now = t[1] * 1000000 + t[2]
local ends = redis.call('ZSCORE', KEYS[1], ARGV[1])
if not ends or tonumber(ends) <= now then
  return 0
end
redis.call('ZADD', KEYS[1], string.format('%.0f', now + ARGV[2]), ARGV[1])
if redis.call('PTTL', KEYS[1]) < tonumber(ARGV[3]) then
  redis.call('PEXPIRE', KEYS[1], ARGV[3])
end
return 1

-- acquire.lua: take a lease if fewer than the limit are held.
-- KEYS[1] leases: a sorted set of ids by the time when they end, us
-- ARGV[1] id  ARGV[2] limit  ARGV[3] term of the lease, us  ARGV[4] the same, ms
-- ARGV[5] latest server time to do it, us
-- Returns {server time us, outcome}: 1 taken, now or by an earlier attempt; 0 full;
-- -1 too late, and not taken by an earlier attempt either.
-- Expiry: the key's when the last lease ends. What has ended is removed when it is
-- in the way: a script that has written would not be told that memory is short.
local t = redis.call('TIME')
local now = t[1] * 1000000 + t[2]
local us = string.format('%.0f', now)
if now > tonumber(ARGV[5]) then
  redis.call('ZREM', KEYS[1], ARGV[1])
  return {us, -1}
end
local function full()
  return redis.call('ZCARD', KEYS[1]) >= tonumber(ARGV[2])
end
if full() and not redis.call('ZSCORE', KEYS[1], ARGV[1]) then
  redis.call('ZREMRANGEBYSCORE', KEYS[1], '-inf', us)
  if full() then
    return {us, 0}
  end
end
redis.call('ZADD', KEYS[1], string.format('%.0f', now + ARGV[3]), ARGV[1])
if redis.call('PTTL', KEYS[1]) < tonumber(ARGV[4]) then
  redis.call('PEXPIRE', KEYS[1], ARGV[4])
end
return {us, 1}

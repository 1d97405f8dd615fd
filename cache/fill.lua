-- fill.lua: store a loaded value if the lease under which it was loaded still holds.
-- KEYS[1] value  KEYS[2] lease  KEYS[3] hold
-- ARGV[1] token  ARGV[2] first part of the entry  ARGV[3] its last part
-- ARGV[4] freshness, ms  ARGV[5] expiry, ms
-- Returns {server time us, outcome}: 1 stored, now or by an earlier attempt; 0 not.
-- Expiry: the value's as given; the lease goes.
local t = redis.call('TIME')
local now = string.format('%.0f', t[1] * 1000000 + t[2])
if redis.pcall('GET', KEYS[2]) ~= ARGV[1] then
  if redis.pcall('GETRANGE', KEYS[1], 2, 9) == ARGV[1] then
    return {now, 1}
  end
  return {now, 0}
end
if redis.call('PTTL', KEYS[3]) > 0 then
  redis.call('UNLINK', KEYS[2])
  return {now, 0}
end
local ms = t[1] * 1000 + math.floor(t[2] / 1000)
local stamps = string.format('%013.0f%013.0f', ms, ms + ARGV[4])
local stored = redis.pcall('SET', KEYS[1], ARGV[2] .. stamps .. ARGV[3], 'PX', ARGV[5])
redis.call('UNLINK', KEYS[2])
if stored.err then
  return stored
end
return {now, 1}

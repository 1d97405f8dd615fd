-- set.lua: store a value that the application wrote, and void the lease.
-- KEYS[1] value  KEYS[2] lease  KEYS[3] hold
-- ARGV[1] latest server time to do it, us  ARGV[2] first part of the entry
-- ARGV[3] its last part  ARGV[4] freshness, ms  ARGV[5] expiry, ms
-- Returns {server time us, outcome}: 1 stored; 0 too late, nothing done; 2 held or
-- 3 out of memory: removed, not stored.
-- Expiry: the value's as given.
local t = redis.call('TIME')
local us = t[1] * 1000000 + t[2]
local now = string.format('%.0f', us)
if us > tonumber(ARGV[1]) then
  return {now, 0}
end
if redis.call('PTTL', KEYS[3]) > 0 then
  redis.call('UNLINK', KEYS[1], KEYS[2])
  return {now, 2}
end
local ms = t[1] * 1000 + math.floor(t[2] / 1000)
local stamps = string.format('%013.0f%013.0f', ms, ms + ARGV[4])
local stored = redis.pcall('SET', KEYS[1], ARGV[2] .. stamps .. ARGV[3], 'PX', ARGV[5])
if stored.err then
  redis.call('UNLINK', KEYS[1], KEYS[2])
  if string.sub(stored.err, 1, 3) == 'OOM' then
    return {now, 3}
  end
  return stored
end
redis.call('UNLINK', KEYS[2])
return {now, 1}

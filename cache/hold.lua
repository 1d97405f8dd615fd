-- hold.lua: remove a value and its lease, and store nothing for a while.
-- KEYS[1] value  KEYS[2] lease  KEYS[3] hold
-- ARGV[1] how long, ms
-- Returns {server time us}.
-- Expiry: the hold ends after ARGV[1], or later if one was there that does.
local t = redis.call('TIME')
if redis.call('PTTL', KEYS[3]) < tonumber(ARGV[1]) then
  redis.call('SET', KEYS[3], '1', 'PX', ARGV[1])
end
redis.call('UNLINK', KEYS[1], KEYS[2])
return {string.format('%.0f', t[1] * 1000000 + t[2])}

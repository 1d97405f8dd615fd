-- check.lua: is a record not revoked? List it again if the list was lost.
-- KEYS[1] list, see list.lua
-- ARGV[1] record  ARGV[2] time until its deadline, us
-- Returns 1 it is good; 2 revoked.
-- Expiry: the last deadline.
local score = redis.call('ZSCORE', KEYS[1], ARGV[1])
if score then
  return tonumber(score) > 0 and 1 or 2
end
if redis.call('ZCOUNT', KEYS[1], '9e15', '9e15') > 0 then
  return 2
end
local t = redis.call('TIME')
redis.call('ZADD', KEYS[1], string.format('%.0f', t[1] * 1000000 + t[2] + ARGV[2]), ARGV[1])
local px = math.ceil(ARGV[2] / 1000)
if redis.call('PTTL', KEYS[1]) < px then
  redis.call('PEXPIRE', KEYS[1], string.format('%.0f', px))
end
return 1

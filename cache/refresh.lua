-- refresh.lua: take the lease to replace a value that is old.
-- KEYS[1] value  KEYS[2] lease  KEYS[3] hold
-- ARGV[1] token, 8 bytes  ARGV[2] term of the lease, ms
-- ARGV[3] first bytes of the value that the caller saw
-- ARGV[4] how long before the end of its freshness it may be replaced, ms
-- Returns {server time us, outcome}: 0 it is another value, or fresh; 1 the lease
-- is yours, 2 it is somebody else's, 3 nothing may be stored now.
-- Expiry: the lease ends after its term.
local t = redis.call('TIME')
local now = string.format('%.0f', t[1] * 1000000 + t[2])
local value = redis.pcall('GETRANGE', KEYS[1], 0, 39)
if type(value) ~= 'string' or string.sub(value, 1, #ARGV[3]) ~= ARGV[3]
    or t[1] * 1000 + t[2] / 1000 + ARGV[4] < tonumber(string.sub(value, 24, 36)) then
  return {now, 0}
end
if redis.call('PTTL', KEYS[3]) > 0 then
  return {now, 3}
end
local holder = redis.pcall('GET', KEYS[2])
if type(holder) == 'string' and string.sub(holder, 1, 7) ~= string.sub(ARGV[1], 1, 7)
    and redis.call('PTTL', KEYS[2]) > 0 then
  return {now, 2}
end
redis.call('SET', KEYS[2], ARGV[1], 'PX', ARGV[2])
return {now, 1}

-- lease.lua: read a value, or take the lease to load it.
-- KEYS[1] value  KEYS[2] lease  KEYS[3] hold
-- ARGV[1] token, 8 bytes: 7 of the holder and the number of the attempt
-- ARGV[2] term of the lease, ms
-- ARGV[3] '-', or '+' and the first bytes of a value that will not do
-- Returns {server time us, 0, value}; {time, 1} the lease is yours; {time, 2,
-- token} it is somebody else's; {time, 3} nothing may be stored now.
-- Expiry: the lease ends after its term; what has no expiry there is not a lease.
local t = redis.call('TIME')
local now = string.format('%.0f', t[1] * 1000000 + t[2])
local value = redis.pcall('GET', KEYS[1])
if type(value) == 'string' and #value > 0 then
  local seen = string.sub(ARGV[3], 2)
  if ARGV[3] == '-' or string.sub(value, 1, #seen) ~= seen then
    return {now, 0, value}
  end
end
if redis.call('PTTL', KEYS[3]) > 0 then
  return {now, 3}
end
local holder = redis.pcall('GET', KEYS[2])
if type(holder) == 'string' and string.sub(holder, 1, 7) ~= string.sub(ARGV[1], 1, 7)
    and redis.call('PTTL', KEYS[2]) > 0 then
  return {now, 2, holder}
end
redis.call('SET', KEYS[2], ARGV[1], 'PX', ARGV[2])
return {now, 1}

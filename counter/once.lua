-- once.lua: count unless an operation has been counted. It follows one of fixed.lua,
-- sliding.lua and forever.lua.
-- KEYS[1] counter  KEYS[2] the operation: a string, the call that has counted it
-- ARGV[1] n  ARGV[2] ttl, ms  ARGV[3] this call  ARGV[4] latest server time to do it, us
-- ARGV[5] how long the operation is remembered after that, ms
-- Returns {server time us, outcome, total as text}: 1 counted, now or by an earlier
-- attempt of this call; 0 had been counted before; -1 too late, and not counted.
-- Expiry: the counter's, and ARGV[5] from ARGV[4] the operation's: no attempt can count
-- when it has been forgotten.
local t = redis.call('TIME')
local now = t[1] * 1000000 + t[2]
local us = string.format('%.0f', now)
local by = redis.call('GET', KEYS[2])
if by then
  local outcome = by == ARGV[3] and 1 or 0
  return {us, outcome, redis.call('GET', KEYS[1]) or '0'}
end
if now > tonumber(ARGV[4]) then
  return {us, -1, ''}
end
local total = count(ARGV[1], ARGV[2])
local forget = string.format('%.0f', math.ceil(ARGV[4] / 1000) + ARGV[5])
redis.call('SET', KEYS[2], ARGV[3], 'PXAT', forget)
return {us, 1, total}

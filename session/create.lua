-- create.lua: store a record where there is none.
-- KEYS[1] record
-- ARGV[1] start of the header: format, version, login, write id
-- ARGV[2] time until the deadline, ms  ARGV[3] ttl, ms  ARGV[4] data
-- Returns {server time us, outcome, header}: 1 stored; 2 something is there, no header.
-- Expiry: ttl from now, at most the deadline.
local t = redis.call('TIME')
local us = string.format('%.0f', t[1] * 1000000 + t[2])
local now = t[1] * 1000 + math.floor(t[2] / 1000)
local px = math.max(math.min(tonumber(ARGV[2]), tonumber(ARGV[3])), 1)
local head = ARGV[1] .. string.format('%013.0f%013.0f', now, now + ARGV[2])
if redis.call('SET', KEYS[1], head .. ARGV[4], 'NX', 'PX', string.format('%.0f', px)) then
  return {us, 1, head}
end
return {us, 2, ''}

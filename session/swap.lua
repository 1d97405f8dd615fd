-- swap.lua: store a record in place of the version that it was made from.
-- KEYS[1] record
-- ARGV[1] version to replace, 8 bytes
-- ARGV[2] start of the new header: format, version, login, write id
-- ARGV[3] time until a new login's deadline, ms; '' the stored deadline
-- ARGV[4] ttl, ms  ARGV[5] data
-- Returns {server time us, outcome, text}: 1 stored, now or by an earlier attempt, and
-- the header; 0 no record; 2 another version, and the whole record; 3 not a record.
-- Expiry: ttl from now, at most the deadline.
local t = redis.call('TIME')
local us = string.format('%.0f', t[1] * 1000000 + t[2])
local now = t[1] * 1000 + math.floor(t[2] / 1000)
local head = redis.pcall('GETRANGE', KEYS[1], 0, 50)
if head == '' then
  return {us, 0, ''}
end
local deadline = type(head) == 'string' and tonumber(string.sub(head, 39, 51))
if not deadline or #head < 51 or string.byte(head) ~= 1 then
  return {us, 3, ''}
end
if deadline <= now then
  redis.call('UNLINK', KEYS[1])
  return {us, 0, ''}
end
if string.sub(head, 2, 25) == string.sub(ARGV[2], 2, 25) then
  return {us, 1, head}
end
if string.sub(head, 2, 9) ~= ARGV[1] then
  return {us, 2, redis.call('GET', KEYS[1])}
end
if ARGV[3] ~= '' and string.sub(head, 10, 17) ~= string.sub(ARGV[2], 10, 17) then
  deadline = now + ARGV[3]
end
local px = math.max(math.min(deadline - now, tonumber(ARGV[4])), 1)
head = ARGV[2] .. string.format('%013.0f%013.0f', now, deadline)
redis.call('SET', KEYS[1], head .. ARGV[5], 'PX', string.format('%.0f', px))
return {us, 1, head}

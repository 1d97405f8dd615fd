-- touch.lua: move the expiry of a record, and when it was seen.
-- KEYS[1] record
-- ARGV[1] login, 8 bytes  ARGV[2] ttl, ms
-- Returns {server time us, outcome}: 1 done; 0 no record; 2 another login; 3 not a
-- record.
-- Expiry: ttl from now, at most the deadline. It comes first: where memory is short a
-- script may still write if it has written. Redis 7 removes the record at once if it takes
-- so long itself that the ttl is over; then SETRANGE makes another, which goes again.
local t = redis.call('TIME')
local us = string.format('%.0f', t[1] * 1000000 + t[2])
local now = t[1] * 1000 + math.floor(t[2] / 1000)
local head = redis.pcall('GETRANGE', KEYS[1], 0, 50)
if head == '' then
  return {us, 0}
end
local deadline = type(head) == 'string' and tonumber(string.sub(head, 39, 51))
if not deadline or #head < 51 or string.byte(head) ~= 1 then
  return {us, 3}
end
if deadline <= now then
  redis.call('UNLINK', KEYS[1])
  return {us, 0}
end
if string.sub(head, 10, 17) ~= ARGV[1] then
  return {us, 2}
end
local px = math.max(math.min(deadline - now, tonumber(ARGV[2])), 1)
redis.call('PEXPIRE', KEYS[1], string.format('%.0f', px))
redis.call('SETRANGE', KEYS[1], 25, string.format('%013.0f', now))
if redis.call('PTTL', KEYS[1]) == -1 then
  redis.call('UNLINK', KEYS[1])
end
return {us, 1}

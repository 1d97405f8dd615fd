-- revoke.lua: note that a user is revoked now, and mark the records.
-- KEYS[1] list, see list.lua
-- ARGV[1] how long to remember it, us  ARGV[2]… records that are excepted
-- Returns {server time us, record, …}: those that are marked, to be deleted.
-- Expiry: the last deadline, or when it need not be remembered any more. Of marked
-- records a thousand are kept, for the case that deleting them fails. What has ended
-- goes first: where memory is short a script may still write if it has written.
local t = redis.call('TIME')
local now = t[1] * 1000000 + t[2]
local us = string.format('%.0f', now)
redis.call('ZREMRANGEBYSCORE', KEYS[1], '-' .. us, us)
local mark = redis.call('ZRANGEBYSCORE', KEYS[1], '9e15', '9e15')[1]
redis.call('ZADD', KEYS[1], '9e15', 'r' .. us)
if mark and mark ~= 'r' .. us then
  redis.call('ZREM', KEYS[1], mark)
end
local spared = {}
for i = 2, #ARGV do
  spared[ARGV[i]] = true
  if not mark and not redis.call('ZSCORE', KEYS[1], ARGV[i]) then
    redis.call('ZADD', KEYS[1], string.format('%.0f', now + ARGV[1]), ARGV[i])
  end
end
local listed = redis.call('ZRANGEBYSCORE', KEYS[1], 0, '(9e15', 'WITHSCORES')
for i = 1, #listed, 2 do
  if not spared[listed[i]] then
    redis.call('ZADD', KEYS[1], '-' .. listed[i + 1], listed[i])
  end
end
local marked = redis.call('ZRANGEBYSCORE', KEYS[1], '-inf', '(0')
if #marked > 1000 then
  redis.call('ZREMRANGEBYRANK', KEYS[1], 1000, #marked - 1)
end
local px = math.max(math.ceil(ARGV[1] / 1000), 1)
if redis.call('PTTL', KEYS[1]) < px then
  redis.call('PEXPIRE', KEYS[1], string.format('%.0f', px))
end
table.insert(marked, 1, us)
return marked

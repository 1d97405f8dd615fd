-- list.lua: list a record as a user's, unless the user was revoked meanwhile.
-- KEYS[1] list: a sorted set of records by deadline, us, negative once revoked; and by
--   9e15 one member, 'r' and the time of the last revocation, us
-- ARGV[1] latest server time to do it, us  ARGV[2] record  ARGV[3] time until its
--   deadline, us  ARGV[4] time since the credentials were read, at the latest time to
--   do it, us  ARGV[5] a revocation that is known to be older, us  ARGV[6] how many
--   records there may be; 0 any number
-- Returns {server time us, outcome, …}: 1 listed, and the others if there are too many,
-- by deadline; 0 too late; 2 revoked since, and when, us.
-- Expiry: the last deadline. A time of revocation that lies ahead, because the clock
-- was set back, becomes now.
local t = redis.call('TIME')
local now = t[1] * 1000000 + t[2]
local us = string.format('%.0f', now)
if now > tonumber(ARGV[1]) then
  return {us, 0}
end
local mark = redis.call('ZRANGEBYSCORE', KEYS[1], '9e15', '9e15')[1]
if mark then
  local revoked = string.sub(mark, 2)
  if tonumber(revoked) > now then
    redis.call('ZADD', KEYS[1], '9e15', 'r' .. us)
    redis.call('ZREM', KEYS[1], mark)
    return {us, 2, us}
  end
  if revoked ~= ARGV[5] and now - revoked <= tonumber(ARGV[4]) then
    return {us, 2, revoked}
  end
end
redis.call('ZREMRANGEBYSCORE', KEYS[1], '-' .. us, us)
redis.call('ZADD', KEYS[1], string.format('%.0f', now + ARGV[3]), ARGV[2])
local px = math.ceil(ARGV[3] / 1000)
if redis.call('PTTL', KEYS[1]) < px then
  redis.call('PEXPIRE', KEYS[1], string.format('%.0f', px))
end
local most = tonumber(ARGV[6])
local reply = {us, 1}
if most > 0 and redis.call('ZCOUNT', KEYS[1], 0, '(9e15') > most then
  for _, record in ipairs(redis.call('ZRANGEBYSCORE', KEYS[1], 0, '(9e15')) do
    if record ~= ARGV[2] then
      table.insert(reply, record)
    end
  end
end
return reply

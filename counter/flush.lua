-- flush.lua: count what a writer has gathered, if it has not been counted. It follows one
-- of fixed.lua, sliding.lua and forever.lua.
-- KEYS[1] counter  KEYS[2] gate: a string, the number of the writer's last flush
-- ARGV[1] n  ARGV[2] ttl, ms  ARGV[3] number of this flush, which only grow
-- ARGV[4] latest server time to do it, us  ARGV[5] how long the gate lives after that, ms
-- ARGV[6] if an earlier attempt may have counted, until when, by the server's time, an
--   earlier flush has kept the gate, us; or else 0
-- Returns {server time us, outcome, total as text}: 1 counted, now or by an earlier
-- attempt; -1 too late, and not counted as long as the gate would live; -2 the gate has
-- gone before its time, and with it the answer to whether an earlier attempt has counted.
-- Expiry: the counter's, and ARGV[5] from ARGV[4] the gate's.
local t = redis.call('TIME')
local now = t[1] * 1000000 + t[2]
local us = string.format('%.0f', now)
local last = redis.call('GET', KEYS[2])
if last and tonumber(last) >= tonumber(ARGV[3]) then
  return {us, 1, redis.call('GET', KEYS[1]) or '0'}
end
if not last and now < tonumber(ARGV[6]) then
  return {us, -2, ''}
end
if now > tonumber(ARGV[4]) then
  return {us, -1, ''}
end
local total = count(ARGV[1], ARGV[2])
local gone = string.format('%.0f', math.ceil(ARGV[4] / 1000) + ARGV[5])
redis.call('SET', KEYS[2], ARGV[3], 'PXAT', gone)
return {us, 1, total}

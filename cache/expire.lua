-- expire.lua: end the freshness of a value now, and void the lease.
-- KEYS[1] value  KEYS[2] lease
-- Returns {server time us}. The flag says it to clients whose idea of the time is
-- a little behind, also of a value whose time was over just before.
-- Expiry: the value's stays as it was.
local t = redis.call('TIME')
local ms = t[1] * 1000 + math.floor(t[2] / 1000)
redis.call('UNLINK', KEYS[2])
local head = redis.pcall('GETRANGE', KEYS[1], 0, 39)
if type(head) ~= 'string' then
  redis.call('UNLINK', KEYS[1])
elseif #head == 40 then
  local flags = string.byte(head, 2)
  if flags % 8 < 4 then
    redis.call('SETRANGE', KEYS[1], 1, string.char(flags + 4))
  end
  if ms < (tonumber(string.sub(head, 24, 36)) or 0) then
    redis.call('SETRANGE', KEYS[1], 23, string.format('%013.0f', ms))
  end
end
return {string.format('%.0f', t[1] * 1000000 + t[2])}

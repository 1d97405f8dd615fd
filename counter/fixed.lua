-- fixed.lua: how to count in a counter that lives so long from its first count. A part
-- of several scripts.
-- KEYS[1] counter
-- count(n, ttl in ms) returns the total as text: a Lua number is exact to 2^53 only.
-- Expiry: set before the first count, so that there is none without; one that was lost is
-- set again.
local function count(n, ttl)
  local new = redis.call('SET', KEYS[1], '0', 'PX', ttl, 'NX')
  redis.call('INCRBY', KEYS[1], n)
  local total = redis.call('GET', KEYS[1])
  if not new then
    redis.call('PEXPIRE', KEYS[1], ttl, 'NX')
  end
  return total
end

-- forever.lua: how to count in a counter that is kept. A part of several scripts.
-- KEYS[1] counter
-- count(n) returns the total as text: a Lua number is exact to 2^53 only.
-- Expiry: none, and one that is there stays.
local function count(n)
  redis.call('INCRBY', KEYS[1], n)
  return redis.call('GET', KEYS[1])
end

-- take.lua: read a counter and make it zero.
-- KEYS[1] counter
-- Returns the total, as text, or nothing if there was none.
-- Expiry: the next count begins a new counter. What is not a count is left alone: INCRBY
-- knows.
local total = redis.call('GET', KEYS[1])
if total then
  redis.call('INCRBY', KEYS[1], 0)
  redis.call('UNLINK', KEYS[1])
end
return total

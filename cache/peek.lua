-- peek.lua: read a value and the server's time.
-- KEYS[1] value
-- Returns {server time us, value or nil}.
-- Expiry: unchanged.
local t = redis.call('TIME')
return {string.format('%.0f', t[1] * 1000000 + t[2]), redis.call('GET', KEYS[1])}

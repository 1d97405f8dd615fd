-- peek.lua: read a record and the server's time.
-- KEYS[1] record
-- Returns {server time us, record or nil}.
-- Expiry: unchanged.
local t = redis.call('TIME')
return {string.format('%.0f', t[1] * 1000000 + t[2]), redis.call('GET', KEYS[1])}

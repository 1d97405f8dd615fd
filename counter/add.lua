-- add.lua: count. It follows one of fixed.lua and sliding.lua.
-- KEYS[1] counter
-- ARGV[1] n  ARGV[2] ttl, ms
-- Returns the total, as text.
-- Expiry: the counter's.
return count(ARGV[1], ARGV[2])

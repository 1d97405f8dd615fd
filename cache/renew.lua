-- renew.lua: prolong a lease that still holds.
-- KEYS[1] lease
-- ARGV[1] token  ARGV[2] term, ms
-- Returns 1, or 0 if the lease is gone.
-- Expiry: the lease ends a term from now; one that is gone stays gone.
if redis.pcall('GET', KEYS[1]) ~= ARGV[1] then
  return 0
end
return redis.call('PEXPIRE', KEYS[1], ARGV[2])

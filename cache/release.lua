-- release.lua: give a lease back after a load that failed.
-- KEYS[1] lease
-- ARGV[1] token, of whichever attempt
-- Returns 1, or 0 if the lease was gone.
-- Expiry: the lease goes.
local holder = redis.pcall('GET', KEYS[1])
if type(holder) ~= 'string' or string.sub(holder, 1, 7) ~= string.sub(ARGV[1], 1, 7) then
  return 0
end
return redis.call('UNLINK', KEYS[1])

-- refund.lua: give back what was taken, to all limits. It follows kinds.lua.
-- ARGV[1] how much  ARGV[2] [3] are not used
-- Returns '1 now'; or '-1 now' for lack of parameters, nothing done. A FixedWindow whose
-- parameters are of a time that is over gets nothing.
-- Expiry: when a limit is as if never used.
local limits = {}
for i = 1, #KEYS do
  limits[i] = limit(i)
  if not limits[i] and now < ARGV[7 * i - 1] + 0 then
    return string.format('-1 %.0f', now)
  end
end
for i = 1, #KEYS do
  if limits[i] and redis.call('EXISTS', KEYS[i]) == 1 then
    limits[i].add(-ARGV[1])
    limits[i].write()
  end
end
return string.format('1 %.0f', now)

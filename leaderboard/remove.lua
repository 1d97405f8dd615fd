-- remove.lua: remove members from all periods. It follows time.lua and what is named
-- there.
-- ARGV next: number of periods; for each from and till when it is the one that is meant,
-- us, and what keys.lua wants; members.
-- Returns {time us, 0} if a period is not the one that is meant; {time us, 1, members
-- that were in any}.
-- Expiry: as before.
local us = text(now)
local periods = {}
for i = 1, number() do
  local from, till = number(), number()
  periods[i] = open()
  if now < from or now >= till then
    return {us, 0}
  end
end
for _, b in ipairs(periods) do
  sound(b)
end
local n = 0
for i = args_used + 1, #ARGV do
  local was = false
  for _, b in ipairs(periods) do
    local expired = due(b, ARGV[i]) and #live(b, ARGV[i]) == 0
    was = drop(b, ARGV[i]) and not expired or was
  end
  n = n + (was and 1 or 0)
end
return {us, 1, n}

-- read.lua begins the scripts that read a period, up to page.lua. A part of them; see
-- time.lua.
-- ARGV next: from and till when it is the one that is meant, us; what keys.lua wants;
-- the largest value.
-- Returns {time us, 0} if it is not; what the operation returns begins with {time us, 1,
-- members of the window still to retire, members}.
local us, from, till = text(now), number(), number()
local b = open()
local most = number()
if now < from or now >= till then
  return {us, 0}
end
local lag = 0

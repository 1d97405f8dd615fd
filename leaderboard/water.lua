-- water.lua: time does not go back on a board whose periods end or move. A part of several
-- scripts; see time.lua.
-- KEYS next: the high-water mark (string): the latest time at which something was
-- submitted, us, up to a second less unless a period has begun since.
-- One that is a day ahead is of a clock that was wrong, and does not count.
-- Expiry: when the last of the periods is gone.
local water = key()
local high = tonumber(redis.call('GET', water) or 0) or 0
if not (high < now + 86400000000) then
  high = 0
end
now = math.max(now, high)
rise = function(latest, life) -- latest: when the latest period began or ended, us
  if now >= high + 1000000 or high < latest then
    redis.call('SET', water, text(now), 'PX', text(life))
  end
end

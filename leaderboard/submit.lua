-- submit.lua: submit scores to all periods, or to none. It follows time.lua and what
-- is named there, scores.lua and store.lua.
-- KEYS next: op ids (sorted set, by time in us), then those of each period.
-- ARGV next: cap, 0 for none; largest value; life of the high-water mark, ms; number of
-- scores; number of periods; for each of these from and till when it is open, us, when it
-- dies, ms, 0 for never, what keys.lua wants; for each score member, value, op id,
-- 1 if it has metadata, that.
-- Returns {time us, 0} if a period is not open; {time us, 2} if a sum is out of range;
-- {time us, 1, members of windows still to retire} and for each score, in the first
-- period, 'old new changed known rank before total', rank 0: not there.
-- Expiry: each period when it dies, a window as keys.lua says; op ids after an hour.
if over and fresh > 0 then
  rise(now, life)
  return {us, 0}
end
local lag, windows = 0, 0
for _, b in ipairs(periods) do
  sound(b)
  windows = windows + (b.w and 1 or 0)
end
for _, b in ipairs(periods) do
  lag = lag + (b.w and retire(b, most, windows) or 0)
end
if not fits() then
  return {us, 2}
end
local out = {us, 1, lag}
local function first(b, s) -- store in the first period, and say what became of it
  local old = stands(b, s.member, most)
  local before = old and rank(b, s.member, old) or 0
  local new, after = old, before
  if not s.known then
    new = store(b, s, old)
    if new ~= old or cap > 0 or b.w then
      local kept = cap == 0 or redis.call('ZSCORE', b.z, s.member)
      after = kept and rank(b, s.member, new) or 0
    end
  end
  local changed = new ~= old and (after > 0 or before > 0)
  out[#out + 1] = string.format('%.17g %.17g %d %d %.0f %.0f %.0f', old or 0, new or 0, changed and 1 or 0,
    s.known and 1 or 0, after, before, redis.call('ZCARD', b.z))
end
for _, s in ipairs(scores) do
  first(periods[1], s)
  for p = 2, s.known and 0 or #periods do
    store(periods[p], s, stands(periods[p], s.member, most))
  end
end
if fresh > 0 then
  rise(latest, life)
  for _, b in ipairs(periods) do
    expire(b)
  end
  remember()
end
return out

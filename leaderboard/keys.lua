-- keys.lua: the keys of one period. A part of several scripts; see time.lua.
-- KEYS next: scores (sorted set), metadata (hash), [distinct values, see dense.lua], and
-- of a rolling window when something of a member expires (sorted set, us), and what
-- each has in it (hash; see window.lua).
-- ARGV next: a 24th of the window, us, 0 if it is none; where its times begin, us; their
-- unit, us
-- Expiry: a window its length, 1/24 and a minute after the last submit, or after the last
-- time that something was retired; others see submit.lua.
local function open()
  local b = {z = key(), m = key(), width = number(), base = number(), unit = number()}
  companion(b)
  if b.width > 0 then
    b.e, b.w = key(), key()
    b.dies = math.ceil((now + 25 * b.width) / 1000) + 60000
  end
  return b
end

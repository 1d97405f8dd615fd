-- best.lua: the best counts. A part of several scripts; see time.lua.
-- adds is whether values are added up. merge returns the new value, and whether what was given is taken. add does that for
-- what a member has in a window, a list of {us, value, …}, the oldest first; standing is
-- the value of such a list, and since when.
local adds = false
local function merge(old, c)
  if old and old <= c then
    return old, false
  end
  return c, true
end
local function add(h, c, width)
  while #h > 0 and h[#h][2] > c do -- never the best again
    h[#h] = nil
  end
  local last = h[#h]
  if last and math.floor(last[1] / width) == math.floor(now / width) then
    return false -- one at least as good will be gone as soon
  end
  h[#h + 1] = {now, c}
  return true
end
local function standing(h)
  return h[1][2], h[1][1]
end

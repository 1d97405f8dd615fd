-- last.lua: the last one counts. A part of several scripts; see time.lua, and best.lua for
-- the functions.
local adds = false
local function merge(old, c)
  return c, true
end
local function add(h, c)
  for i = 2, #h do
    h[i] = nil
  end
  h[1] = {now, c}
  return true
end
local function standing(h)
  return h[1][2], h[1][1]
end

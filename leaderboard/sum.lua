-- sum.lua: the sum counts. A part of several scripts; see time.lua, and best.lua for the
-- functions.
local adds = true
local function merge(old, c)
  return (old or 0) + c, true
end
local function add(h, c, width)
  local last = h[#h]
  if last and c == 0 then
    return true
  end
  local same = last and math.floor(last[1] / width) == math.floor(now / width)
  if same and math.abs(last[2] + c) < 9007199254740992 then -- or it would not be exact
    h[#h] = {now, last[2] + c}
  else
    h[#h + 1] = {now, c}
  end
  return true
end
local function standing(h)
  local high, low = 0, 0 -- on the way it may be beyond what a double holds exactly
  for _, x in ipairs(h) do
    local part = math.floor(x[2] / 67108864)
    high, low = high + part, low + (x[2] - part * 67108864)
  end
  return high * 67108864 + low, h[#h][1]
end

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
  if last and math.floor(last[1] / width) == math.floor(now / width) then
    last[1], last[2] = now, last[2] + c
  else
    h[#h + 1] = {now, c}
  end
  return true
end
local function standing(h)
  local sum = 0
  for _, x in ipairs(h) do
    sum = sum + x[2]
  end
  return sum, h[#h][1]
end

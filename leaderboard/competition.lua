-- competition.lua: ranks as 1224. A part of several scripts; see time.lua.
-- rank is that of a member of value c, first that of the row at start of the same, and
-- would the one that a newcomer of value c would have.
local function companion() end
local function entered() end
local function left() end
local function would(b, c)
  return better(b.z, c) + 1
end
local function rank(b, member, c)
  return would(b, c)
end
local function first(b, start, c)
  return would(b, c)
end

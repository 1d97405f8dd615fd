-- packed.lua: scores that order equal values by time. A part of several scripts; see
-- time.lua, codec.go for the form, and packed_order.lua.
-- ARGV next: 2^bits of a time, 2^(52-bits)
local times, coarse = number(), number()
local function pack(c, tie)
  local negative = c < 0
  if negative then
    c, tie = -c - 1, times - 1 - tie
  end
  local e = math.floor(c / coarse)
  local s = math.ldexp(4503599627370496 + (c - e * coarse) * times + tie, e - 1074)
  return string.format('%.17g', negative and -s or s)
end
local function value(s)
  s = s + 0
  local m, e = math.frexp(math.min(math.abs(s), 1.7976931348623157e308)) -- what is foreign may be infinite
  local c = (e + 1021) * coarse + math.floor((m * 9007199254740992 - 4503599627370496) / times)
  return s < 0 and -c - 1 or c
end

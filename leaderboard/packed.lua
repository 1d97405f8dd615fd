-- packed.lua: scores that order equal values by time. A part of several scripts; see
-- time.lua, and codec.go for the form.
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
local function tie(b, us)
  return math.max(0, math.min(times - 1, math.floor((us - b.base) / b.unit)))
end
local function place(z, member) -- from 0, best first
  return redis.call('ZRANK', z, member)
end
local function before(z, s) -- how many come before a score
  return redis.call('ZCOUNT', z, '-inf', '(' .. s)
end
local function better(z, c) -- how many are better than a value
  return before(z, pack(c, 0))
end
local function upto(z, c) -- how many are as good
  return redis.call('ZCOUNT', z, '-inf', pack(c, times - 1))
end
local function rows(z, start, stop)
  return redis.call('ZRANGE', z, start, stop, 'WITHSCORES')
end

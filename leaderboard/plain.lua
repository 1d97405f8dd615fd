-- plain.lua: plain scores, the smallest first. A part of several scripts; see time.lua,
-- and packed.lua and packed_order.lua for the functions.
local function pack(c)
  return string.format('%.17g', c)
end
local function value(s)
  return s + 0
end
local function tie() end
local function place(z, member)
  return redis.call('ZRANK', z, member)
end
local function before(z, s)
  return redis.call('ZCOUNT', z, '-inf', '(' .. s)
end
local function better(z, c)
  return before(z, pack(c))
end
local function upto(z, c)
  return redis.call('ZCOUNT', z, '-inf', pack(c))
end
local function rows(z, start, stop)
  return redis.call('ZRANGE', z, start, stop, 'WITHSCORES')
end

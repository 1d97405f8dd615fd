-- reverse.lua: plain scores, the largest first. A part of several scripts; see time.lua,
-- and packed.lua and packed_order.lua for the functions.
local function pack(c)
  return string.format('%.17g', 0 - c)
end
local function value(s)
  return 0 - s
end
local function tie() end
local function place(z, member)
  return redis.call('ZREVRANK', z, member)
end
local function before(z, s)
  return redis.call('ZCOUNT', z, '(' .. s, '+inf')
end
local function better(z, c)
  return before(z, pack(c))
end
local function upto(z, c)
  return redis.call('ZCOUNT', z, pack(c), '+inf')
end
local function rows(z, start, stop)
  return redis.call('ZREVRANGE', z, start, stop, 'WITHSCORES')
end

-- packed_order.lua: how packed scores are ordered. A part of several scripts; see time.lua.
-- tie is the time in the score of a period. The others are about its sorted set.
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

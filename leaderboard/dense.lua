-- dense.lua: ranks as 1223. A part of several scripts; see time.lua, and
-- competition.lua for the functions.
-- KEYS next, after those of a period's scores: its distinct values (sorted set).
local function companion(b)
  b.d = key()
end
local function entered(b, c)
  redis.call('ZADD', b.d, text(c), text(c))
end
local function left(b, c) -- after the last member of that value has gone
  if upto(b.z, c) == better(b.z, c) then
    redis.call('ZREM', b.d, text(c))
  end
end
local function would(b, c)
  return redis.call('ZCOUNT', b.d, '-inf', '(' .. text(c)) + 1
end
local function rank(b, member, c)
  return would(b, c)
end
local function first(b, start, c)
  return would(b, c)
end

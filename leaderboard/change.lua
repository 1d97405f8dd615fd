-- change.lua: a member's place changes, and whatever goes with it. A part of several
-- scripts; see time.lua.
local function put(b, member, old, c, us)
  local s = pack(c, tie(b, us))
  redis.call('ZADD', b.z, s, member)
  if c ~= old then
    if old then
      left(b, old)
    end
    entered(b, c)
  end
end
local function drop(b, member)
  local s = redis.call('ZSCORE', b.z, member)
  if s then
    redis.call('ZREM', b.z, member)
    left(b, value(s))
  end
  redis.call('HDEL', b.m, member)
  if b.w then
    redis.call('ZREM', b.e, member)
    redis.call('HDEL', b.w, member)
  end
  return s
end

-- change.lua: a member's place changes, and whatever goes with it. A part of several
-- scripts; see time.lua.
local function sound(b) -- fails, before anything is written, if a key is of another type
  redis.call('ZCARD', b.z)
  redis.call('HGET', b.m, '')
  if b.d then
    redis.call('ZCARD', b.d)
  end
  if b.w then
    redis.call('ZCARD', b.e)
    redis.call('HGET', b.w, '')
  end
end
local function put(b, member, old, c, us)
  redis.call('ZADD', b.z, pack(c, tie(b, us)), member)
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
local function expire(b)
  if b.dies > 0 then
    for _, k in pairs({b.z, b.m, b.d, b.e, b.w}) do
      redis.call('PEXPIREAT', k, text(b.dies))
    end
  end
end

-- window.lua: what is in a rolling window, and what expires. A part of several scripts;
-- see time.lua.
-- What a member has in it is 'us:value;us:value', the oldest first, one for each 24th of the
-- window (of the largest sums more); all of a 24th expire together.
local function bucket(b, us)
  return math.floor(us / b.width)
end
local function live(b, member) -- a list of {us, value, text}, and how many there were
  local h, n, gone = {}, 0, bucket(b, now) - 24
  for word, us, c in string.gmatch(redis.call('HGET', b.w, member) or '', '((%d+):(%-?%d+))') do
    n = n + 1
    if bucket(b, us) > gone then
      h[#h + 1] = {us + 0, c + 0, word}
    end
  end
  return h, n
end
local function keep(b, member, h, most)
  local words = {}
  for i, x in ipairs(h) do
    words[i] = x[3] or string.format('%.0f:%.0f', x[1], x[2])
  end
  redis.call('HSET', b.w, member, table.concat(words, ';'))
  redis.call('ZADD', b.e, text((bucket(b, h[1][1]) + 24) * b.width), member)
  local c, us = standing(h)
  c = math.max(-most, math.min(most, c)) -- what made up for it may have expired
  local s = redis.call('ZSCORE', b.z, member)
  put(b, member, s and value(s), c, us)
  return c
end
local function settle(b, member, most) -- what has expired no longer counts; returns how many there were
  local h, n = live(b, member)
  if #h > 0 then
    keep(b, member, h, most)
  else
    drop(b, member)
  end
  return n
end
local function due(b, member) -- something of a member has expired, and was not retired yet
  local at = b.w and redis.call('ZSCORE', b.e, member)
  return at and at + 0 <= now
end
local function retire(b, most, among) -- up to 50 members, see below; returns how many more there are
  local list = redis.call('ZRANGEBYSCORE', b.e, '-inf', text(now), 'LIMIT', 0, 50)
  if #list == 0 then
    return 0
  end
  sound(b)
  expire(b) -- a server without memory takes this, and whatever a script writes after
  -- A member is as much work as five of its scores. So many are a millisecond or two, which
  -- the windows of one call share.
  local n, effort = 0, 300 / among
  while n < #list and effort > 0 do
    n = n + 1
    effort = effort - 5 - settle(b, list[n], most)
  end
  expire(b) -- also keys that were empty for a moment, or had been evicted
  return n == #list and n < 50 and 0 or redis.call('ZCOUNT', b.e, '-inf', text(now))
end
local function stands(b, member, most) -- the value of a member, or false
  if due(b, member) then
    settle(b, member, most)
    expire(b)
  end
  local s = redis.call('ZSCORE', b.z, member)
  return s and value(s)
end

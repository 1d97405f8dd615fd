-- submit.lua: submit scores to all periods, or to none. It follows time.lua and what
-- is named there.
-- KEYS next: op ids (sorted set, by time in us), then those of each period.
-- ARGV next: cap, 0 for none; largest value; life of the high-water mark, ms; number of
-- scores; number of periods; for each of these from and till when it is open, us, when it
-- dies, ms, 0 for never, what keys.lua wants; for each score member, value, op id,
-- 1 if it has metadata, that.
-- Returns {time us, 0} if a period is not open; {time us, 2} if a sum is out of range;
-- {time us, 1, members of windows still to retire} and for each score, in the first
-- period, 'old new changed known rank before total', rank 0: not there.
-- Expiry: each period when it dies, a window its length, 1/24 and a minute after the last
-- submit; op ids after an hour.
local us = text(now)
local ops, cap, most, life, n, periods = key(), number(), number(), number(), number(), {}
local latest, over = 0, false
for i = 1, number() do
  local from, till, dies = number(), number(), number()
  local b = open()
  b.dies = b.width > 0 and math.ceil((now + 25 * b.width) / 1000) + 60000 or dies
  periods[i] = b
  latest = math.max(latest, from)
  over = over or now < from or now >= till
end
local scores, fresh = {}, 0
local seen = {}
for i = 1, n do
  local s = {member = arg(), c = number(), op = arg(), has = arg(), meta = arg()}
  if s.op ~= '' then
    s.known = seen[s.op] or redis.call('ZSCORE', ops, s.op)
    seen[s.op] = true
  end
  if not s.known then
    fresh = fresh + 1
  end
  scores[i] = s
end
if over and fresh > 0 then
  rise(now, life)
  return {us, 0}
end
local lag = 0
for _, b in ipairs(periods) do
  if b.width > 0 then
    lag = lag + retire(b, most)
  end
end
for _, b in ipairs(adds and periods or {}) do -- nothing is stored if a sum would be out of range
  local sums = {}
  for _, s in ipairs(scores) do
    if not s.known then
      local old = sums[s.member]
      if old == nil then
        old = stands(b, s.member, most)
      end
      local sum = merge(old, s.c)
      if math.abs(sum) > most then
        return {us, 2}
      end
      sums[s.member] = sum
    end
  end
end
local function trim(b)
  local excess = cap > 0 and math.min(redis.call('ZCARD', b.z) - cap, 100) or 0
  if excess > 0 then
    local worst = rows(b.z, -excess, -1)
    for i = 1, #worst, 2 do
      drop(b, worst[i])
    end
  end
end
local function store(b, s, old)
  local new, taken = merge(old, s.c)
  if b.width > 0 then
    local h = live(b, s.member)
    taken = add(h, s.c, b.width)
    new = taken and keep(b, s.member, h, most) or old
  elseif new ~= old then
    put(b, s.member, old, new, now)
  end
  if taken and s.has == '1' then
    if s.meta == '' then
      redis.call('HDEL', b.m, s.member)
    else
      redis.call('HSET', b.m, s.member, s.meta)
    end
  end
  trim(b)
  return new
end
local function expire(b)
  for _, k in pairs({b.z, b.m, b.d, b.e, b.w}) do
    redis.call('PEXPIREAT', k, text(b.dies))
  end
end
local out = {us, 1, lag}
for i, s in ipairs(scores) do
  for p, b in ipairs(periods) do
    if p == 1 or not s.known then
      local old = stands(b, s.member, most)
      local prev = p == 1 and old and rank(b, s.member, old) or 0
      local new, now_at = old, prev
      if not s.known then
        new = store(b, s, old)
        if p == 1 and (new ~= old or cap > 0 or b.width > 0) then
          local kept = cap == 0 or redis.call('ZSCORE', b.z, s.member)
          now_at = kept and rank(b, s.member, new) or 0
        end
      end
      if p == 1 then
        local changed = new ~= old and (now_at > 0 or prev > 0)
        out[3 + i] = string.format('%.0f %.0f %d %d %.0f %.0f %.0f', old or 0, new or 0, changed and 1 or 0,
          s.known and 1 or 0, now_at, prev, redis.call('ZCARD', b.z))
      end
    end
  end
end
if fresh == 0 then
  return out
end
rise(latest, life)
for _, b in ipairs(periods) do
  if b.dies > 0 then
    expire(b)
  end
end
if next(seen) then
  local old = redis.call('ZRANGEBYSCORE', ops, '-inf', text(now - 3600000000), 'LIMIT', 0, 100 + 2 * n)
  if #old > 0 then
    redis.call('ZREM', ops, unpack(old))
  end
  for _, s in ipairs(scores) do
    if s.op ~= '' and not s.known then
      redis.call('ZADD', ops, us, s.op)
    end
  end
  redis.call('PEXPIRE', ops, 3600000)
end
return out

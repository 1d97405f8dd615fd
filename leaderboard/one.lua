-- one.lua: submit one score to all periods, or to none, as most calls do: in mode Best or
-- Last, with packed scores that stay, ranks as 1224, and without cap, op id and metadata. It
-- does what submit.lua does in half the time: there each function and each key costs some. It
-- follows time.lua, packed.lua and the mode.
-- KEYS next: the scores of each period.
-- ARGV next: life of the high-water mark, ms; member; value; the smallest score that has
-- it; for each period from and till when it is open, us, when it dies, ms, 0 for never, where
-- its times begin, us, their unit, us.
-- Returns {time us, 0} if a period is not open; else of the first period {time us, 1, 0, score
-- before or '', score, rank, rank before or 0, members}.
-- Expiry: each period when it dies.
local life, member, c, smallest = number(), arg(), number(), arg()
local had, latest, over = {}, 0, false
for i = 1, #KEYS - keys_used do
  local from, till = ARGV[args_used + 5 * i - 4] + 0, ARGV[args_used + 5 * i - 3] + 0
  had[i] = redis.call('ZSCORE', KEYS[keys_used + i], member) -- fails before anything is written
  latest = math.max(latest, from)
  over = over or now < from or now >= till
end
local us = string.format('%.0f', now)
if over then
  rise(now, life)
  return {us, 0}
end
local out
for i, s in ipairs(had) do
  local z, dies, base, unit = key(), ARGV[args_used + 3], ARGV[args_used + 4], ARGV[args_used + 5]
  args_used = args_used + 5
  local old = s and value(s)
  local new = merge(old, c)
  local before, after = 0, 0
  if i == 1 and old then
    before = redis.call('ZCOUNT', z, '-inf', '(' .. pack(old, 0)) + 1
    after = before
  end
  if new ~= old then
    s = pack(new, math.max(0, math.min(times - 1, math.floor((now - base) / unit))))
    redis.call('ZADD', z, s, member)
    if dies ~= '0' then
      redis.call('PEXPIREAT', z, dies)
    end
    if i == 1 then
      after = redis.call('ZCOUNT', z, '-inf', '(' .. smallest) + 1
    end
  end
  out = out or {us, 1, 0, had[1] or '', s, after, before, redis.call('ZCARD', z)}
end
rise(latest, life)
return out

-- scores.lua: what is to be submitted, and where to. The first part of submit.lua, which
-- says what is in ARGV and KEYS.
local us = text(now)
local ops, cap, most, life, n = key(), number(), number(), number(), number()
local periods, latest, over = {}, 0, false
for i = 1, number() do
  local from, till, dies = number(), number(), number()
  local b = open()
  b.dies = b.dies or dies
  periods[i] = b
  latest = math.max(latest, from)
  over = over or now < from or now >= till
end
local scores, fresh, seen = {}, 0, {}
for i = 1, n do
  local s = {member = arg(), c = number(), op = arg(), has = arg(), meta = arg()}
  if s.op ~= '' then
    local at = not seen[s.op] and redis.call('ZSCORE', ops, s.op)
    s.known = seen[s.op] or at and at + 0 > now - 3600000000
    seen[s.op] = true
  end
  if not s.known then
    fresh = fresh + 1
  end
  scores[i] = s
end
local function fits() -- no sum would be out of range
  for _, b in ipairs(adds and periods or {}) do
    local sums = {}
    for _, s in ipairs(scores) do
      if not s.known then
        local old = sums[s.member]
        if old == nil then
          old = stands(b, s.member, most)
        end
        local sum = merge(old, s.c)
        if math.abs(sum) > most then
          return false
        end
        sums[s.member] = sum
      end
    end
  end
  return true
end
local function remember() -- the op ids
  if not next(seen) then
    return
  end
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

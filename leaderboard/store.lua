-- store.lua: a score gets into a period. The second part of submit.lua.
local function annotate(b, s)
  if s.has ~= '1' then
    return
  elseif s.meta == '' then
    redis.call('HDEL', b.m, s.member)
  else
    redis.call('HSET', b.m, s.member, s.meta)
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
local function store(b, s, old) -- returns the new value
  local new, taken = merge(old, s.c)
  if b.w then
    local h = live(b, s.member)
    taken = add(h, s.c, b.width)
    new = taken and keep(b, s.member, h, most) or old
  elseif new ~= old then
    put(b, s.member, old, new, now)
  end
  if taken then
    annotate(b, s)
  end
  trim(b)
  return new
end

-- fixed.lua: how a FixedWindow is counted. A part of several scripts; see kinds.lua.
-- The value is 'start taken': the start of the window in us and what was taken in it.
-- Parameters: 1 quota  2 3 between which times the rest holds  4 where some window
-- begins  5 how long each is; all in us. They are nil outside of 2 and 3.
kinds.f = function(key, p)
  if now < p[2] or now >= p[3] then
    return nil
  end
  local quota, start = p[1], now - (now - p[4]) % p[5]
  local stop = start + p[5]
  local taken = 0
  local s = {}
  local v = redis.call('GET', key)
  if v then
    local was, n = string.match(v, '^(%d+) (%d+)$')
    was, n = tonumber(was or ''), tonumber(n or '')
    if was and n and was >= start then -- tonumber reads nothing of what is too long, in miniredis
      taken, s.dirty = math.min(n, quota), was > start -- the clock was set back
    end
  end
  s.room = quota - taken
  function s.write()
    v = string.format('%.0f %.0f', start, taken)
    redis.call('SET', key, v, 'PX', math.ceil((stop - now) / 1000) + 100)
  end
  function s.add(n)
    taken = math.max(taken + n, 0)
    s.room = quota - taken
  end
  function s.tell(n)
    return n > s.room and stop - now or 0, taken > 0 and stop - now or 0
  end
  return s
end

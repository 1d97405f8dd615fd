-- fixed.lua: how a FixedWindow is counted. A part of several scripts; see kinds.lua.
-- The value is 'start taken': the start of the window in us and what was taken in it.
-- Parameters: 1 quota  2 to 5 where three windows in a row begin and end, us. They are
-- nil outside of these.
kinds.f = function(key, p)
  local quota, start, stop = p[1], nil, nil
  for i = 2, 4 do
    if now >= p[i] and now < p[i + 1] then
      start, stop = p[i], p[i + 1]
    end
  end
  if not start then
    return nil
  end
  local taken = 0
  local s = {}
  local v = redis.call('GET', key)
  if v then
    local was, n = string.match(v, '^(%d+) (%d+)$')
    if was and tonumber(was) >= start then
      taken, s.dirty = math.min(tonumber(n), quota), tonumber(was) > start -- the clock was set back
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

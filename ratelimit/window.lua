-- window.lua: how a SlidingWindow is counted. A part of several scripts; see kinds.lua.
-- The value is 'start previous current': the start of the window in us, and what was
-- taken in the one before it and in it.
-- Parameters: 1 quota  2 period, in ticks  3 tick, us
kinds.w = function(key, p)
  local quota, ticks, tick = p[1], p[2], p[3]
  local period = ticks * tick
  local start = now - now % period
  local prev, cur = 0, 0
  local s = {}
  local v = redis.call('GET', key)
  if v then
    local was, a, b = string.match(v, '^(%d+) (%d+) (%d+)$')
    was, a, b = tonumber(was or ''), tonumber(a or ''), tonumber(b or '')
    if was and a and b then -- tonumber reads nothing of what is too long, in miniredis
      a, b = math.min(a, quota), math.min(b, quota)
      if was >= start then
        prev, cur, s.dirty = a, b, was > start -- the clock was set back
      elseif was == start - period then
        prev = b
      end
    end
  end
  local left = ticks - math.floor((now - start) / tick)
  local function count()
    s.room = math.max(quota - cur - math.ceil(prev * left / ticks), 0)
  end
  count()
  function s.write()
    v = string.format('%.0f %.0f %.0f', start, prev, cur)
    redis.call('SET', key, v, 'PX', math.ceil((start + 2 * period - now) / 1000) + 100)
  end
  function s.add(n)
    cur = cur + n
    if cur < 0 then
      prev, cur = math.max(prev + cur, 0), 0
    end
    count()
  end
  function s.tell(n)
    local retry, reset = 0, 0
    if n > s.room then
      if cur + n <= quota then
        retry = start + (ticks - math.floor((quota - cur - n) * ticks / prev)) * tick - now
      else
        retry = start + (2 * ticks - math.floor((quota - n) * ticks / cur)) * tick - now
      end
    end
    if cur > 0 then
      reset = start + 2 * period - now
    elseif prev > 0 then
      reset = start + period - now
    end
    return retry, reset
  end
  return s
end

-- log.lua: how a SlidingLog is counted. A part of several scripts; see kinds.lua.
-- The value is five numbers and a ring of times in us, each in 7 bytes, big-endian:
-- the slots of the ring, the slot to be written next, how many before that are of the
-- last period, the latest time, and what is added to the server's clock so that it
-- does not go back. The ring doubles when it is full, up to the quota.
-- Parameters: 1 quota  2 period, us
kinds.l = function(key, p)
  local quota, period = p[1], p[2]
  local function pack(n)
    local b = {}
    for i = 7, 1, -1 do
      b[i] = string.char(n % 256)
      n = math.floor(n / 256)
    end
    return table.concat(b)
  end
  local function unpack(v, i)
    local n = 0
    for k = i, i + 6 do
      n = n * 256 + (string.byte(v, k) or 0)
    end
    return n
  end
  local s = {}
  local slots, next, live, last, ahead = 0, 0, 0, 0, 0
  local head = redis.call('GETRANGE', key, 0, 34)
  if #head == 35 then
    slots, next, live, last, ahead = unpack(head, 1), unpack(head, 8), unpack(head, 15), unpack(head, 22), unpack(head, 29)
    if slots > 10000000 or next > slots or live > slots or last > 2 ^ 52 then -- not ours
      slots, next, live, last, ahead = 0, 0, 0, 0, 0
    end
  end
  local function ring(from, n) -- as bytes, from so many before the next slot
    if n == 0 then
      return ''
    end
    local i = (next - from) % slots
    local v = redis.call('GETRANGE', key, 35 + 7 * i, 34 + 7 * math.min(i + n, slots))
    if i + n > slots then
      v = v .. redis.call('GETRANGE', key, 35, 34 + 7 * (i + n - slots))
    end
    return v
  end
  local function at(i) -- the i-th oldest of those that live, from 0
    return math.min(unpack(ring(live - i, 1), 1), last)
  end
  if now + ahead < last or ahead > 2 ^ 52 then
    ahead, s.dirty = math.max(last - now, 0), true
  end
  local time = now + ahead
  if last <= time - period then
    live = 0
  elseif at(0) <= time - period then
    local dead, alive, step = 0, live, 1
    while dead + step < live and at(dead + step) <= time - period do
      dead, step = dead + step, step * 2
    end
    alive = math.min(dead + step, live)
    while alive - dead > 1 do
      local mid = math.floor((dead + alive) / 2)
      if at(mid) <= time - period then
        dead = mid
      else
        alive = mid
      end
    end
    live = live - alive
  end
  s.room = math.max(quota - live, 0)
  function s.write()
    redis.call('SETRANGE', key, 0, pack(slots) .. pack(next) .. pack(live) .. pack(last) .. pack(ahead))
    redis.call('PEXPIRE', key, math.ceil((last + period - time) / 1000) + 100)
  end
  function s.add(n)
    if n < 0 then -- the oldest go
      live = math.max(live + n, 0)
    else
      if live + n > slots then
        local v = ring(live, live)
        slots = math.max(math.min(math.max(2 * slots, 8), quota), live + n)
        next = live
        v = string.rep('\0', 35) .. v .. string.rep('\0', 7 * (slots - live))
        redis.call('SET', key, v)
      end
      local one, first = pack(time), math.min(n, slots - next)
      redis.call('SETRANGE', key, 35 + 7 * next, string.rep(one, first))
      if n > first then
        redis.call('SETRANGE', key, 35, string.rep(one, n - first))
      end
      next, live, last = (next + n) % slots, live + n, time
    end
    s.room = math.max(quota - live, 0)
  end
  function s.tell(n)
    local retry, reset = 0, 0
    if n > s.room then
      retry = at(live + n - quota - 1) + period - time
    end
    if live > 0 then
      reset = last + period - time
    end
    return retry, reset
  end
  return s
end

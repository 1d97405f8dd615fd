-- bucket.lua: how a TokenBucket is counted. A part of several scripts; see kinds.lua.
-- The value is the theoretical arrival time (TAT) of GCRA, which is when the bucket
-- will be full: us in 16 digits, and then the code of a remainder, if it is not 0. For
-- remainder r of denominator d that is d(d-1)/2 + r, which tells all pairs apart and
-- has three digits for d < 45, so that Redis keeps the whole as an integer.
-- Parameters: 1 denominator  2 code of remainder 0  3 4 us and remainder of a token
-- 5 6 of the burst
kinds.t = function(key, p)
  local den, zero, whole, part = p[1], p[2], p[3], p[4]
  local most, most_rem = now + p[5], p[6]
  local us, rem = now, 0
  local s = {}
  local v = redis.call('GET', key)
  if v then
    us = tonumber(string.sub(v, 1, 16)) or now
    rem = (tonumber(string.sub(v, 17)) or 0) - zero
    if us < now then
      us, rem = now, 0
    elseif not (rem >= 0 and rem < den and rem % 1 == 0) then
      rem = 0
    end
    if not (us < most or us == most and rem <= most_rem) then
      us, rem, s.dirty = most, most_rem, true
    end
  end
  local function add(n) -- the TAT and n tokens; n may be negative
    local r = n * part + rem
    local carry = math.floor(r / den)
    return us + n * whole + carry, r - carry * den
  end
  local function fits(n)
    local to, to_rem = add(n)
    return to < most or to == most and to_rem <= most_rem
  end
  local function room()
    local n = math.floor((most - us + (most_rem - rem) / den) / (whole + part / den))
    while n > 0 and not fits(n) do
      n = n - 1
    end
    while fits(n + 1) do
      n = n + 1
    end
    return n
  end
  s.room = room()
  function s.write()
    if us < now or us == now and rem == 0 then
      redis.call('UNLINK', key)
    else
      local code = rem + zero
      v = string.format(code > 0 and '%016.0f%.0f' or '%016.0f', us, code)
      redis.call('SET', key, v, 'PX', math.ceil((us - now) / 1000) + 100)
    end
  end
  function s.add(n)
    us, rem = add(n)
    if us < now then
      us, rem = now, 0
    end
    s.room = room()
  end
  function s.tell(n)
    local to, to_rem = add(n)
    local retry = to - most
    if to_rem > most_rem then
      retry = retry + 1
    end
    if rem > 0 then
      return retry, us - now + 1, den - rem
    end
    return retry, us - now
  end
  return s
end

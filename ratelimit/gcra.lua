-- gcra.lua: take tokens from one TokenBucket, or none. It is take.lua for the most
-- common case, at half the cost.
-- KEYS[1] the bucket; bucket.lua says what is in it
-- ARGV[1] [2] what is asked for: us, and a remainder in 1/ARGV[5] us
-- ARGV[3] [4] the burst, likewise  ARGV[5] denominator  ARGV[6] code of remainder 0
-- Returns 'taken now us remainder': 1 or 0, the server's time and the TAT, in us.
-- Expiry: when the bucket is full again.
local t = redis.call('TIME')
local now = t[1] * 1000000 + t[2]
local most, most_rem, den = now + ARGV[3], ARGV[4] + 0, ARGV[5] + 0
local us, rem = now, 0
local dirty
local v = redis.call('GET', KEYS[1])
if v then
  us = tonumber(string.sub(v, 1, 16)) or now
  rem = (tonumber(string.sub(v, 17)) or 0) - ARGV[6]
  if us < now then
    us, rem = now, 0
  elseif not (rem >= 0 and rem < den) then
    rem = 0
  end
  if not (us < most or us == most and rem <= most_rem) then -- the clock was set back
    us, rem, dirty = most, most_rem, true
  end
end
local to, to_rem, taken = us + ARGV[1], rem + ARGV[2], 0
if to_rem >= den then
  to, to_rem = to + 1, to_rem - den
end
if to < most or to == most and to_rem <= most_rem then
  us, rem, taken, dirty = to, to_rem, 1, true
end
if dirty then
  local code = rem + ARGV[6]
  v = string.format(code > 0 and '%016.0f%.0f' or '%016.0f', us, code)
  redis.call('SET', KEYS[1], v, 'PX', math.ceil((us - now) / 1000) + 100)
end
return string.format('%d %.0f %.0f %.0f', taken, now, us, rem)

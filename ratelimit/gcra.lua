-- gcra.lua: take tokens from one TokenBucket, or none. It is take.lua for the most
-- common case, at half the cost.
-- KEYS[1] the bucket; bucket.lua says what is in it
-- ARGV[1] [2] what is asked for: us, and a remainder in 1/ARGV[5] us
-- ARGV[3] [4] the burst, likewise  ARGV[5] denominator  ARGV[6] code of remainder 0
-- Returns 'taken seconds us  value': 1 or 0, the server's time in two parts, and what
-- the bucket is afterwards.
-- Expiry: when the bucket is full again.
local call = redis.call
local t = call('TIME')
local now = t[1] * 1000000 + t[2]
local us, rem, most, most_rem, den = now, 0, now + ARGV[3], ARGV[4] + 0, ARGV[5] + 0
local changed, taken = false, '0 '
local v = call('GET', KEYS[1])
if v then
  us = tonumber(string.sub(v, 1, 16)) or now
  if us < now then
    us = now
  elseif #v > 16 then
    rem = (tonumber(string.sub(v, 17)) or 0) - ARGV[6]
    if not (rem >= 0 and rem < den and rem % 1 == 0) then
      rem = 0
    end
  end
  if not (us < most or us == most and rem <= most_rem) then -- the clock was set back
    us, rem, changed = most, most_rem, true
  end
end
local to, to_rem = us + ARGV[1], rem + ARGV[2]
if to_rem >= den then
  to, to_rem = to + 1, to_rem - den
end
if to < most or to == most and to_rem <= most_rem then
  us, rem, changed, taken = to, to_rem, true, '1 '
end
local code = rem + ARGV[6]
if code > 0 then
  v = string.format('%016.0f%.0f', us, code)
else
  v = string.format('%016.0f', us)
end
if changed then
  call('SET', KEYS[1], v, 'PX', math.ceil((us - now) / 1000) + 100)
end
return taken .. t[1] .. ' ' .. t[2] .. '  ' .. v

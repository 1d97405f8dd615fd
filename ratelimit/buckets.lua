-- buckets.lua: take tokens from several TokenBuckets, or from none. It is take.lua for
-- the second most common case.
-- KEYS: the buckets; bucket.lua says what is in them
-- ARGV: for each of them the six of gcra.lua
-- Returns 'taken seconds us  value value …': 1 or 0, the server's time in two parts, and
-- what the buckets are afterwards.
-- Expiry: when a bucket is full again.
local call, sub = redis.call, string.sub
local t = call('TIME')
local now = t[1] * 1000000 + t[2]
local ok, taken = true, '0 '
local tats, rems, tos, to_rems, dirty, values = {}, {}, {}, {}, {}, {}
for i = 1, #KEYS do
  local a = 6 * i
  local us, rem, most, most_rem, den = now, 0, now + ARGV[a - 3], ARGV[a - 2] + 0, ARGV[a - 1] + 0
  local v = call('GET', KEYS[i])
  if v then
    us = tonumber(sub(v, 1, 16)) or now
    if us < now then
      us = now
    elseif #v > 16 then
      rem = (tonumber(sub(v, 17)) or 0) - ARGV[a]
      if not (rem >= 0 and rem < den and rem % 1 == 0) then
        rem = 0
      end
    end
    if not (us < most or us == most and rem <= most_rem) then
      us, rem, dirty[i] = most, most_rem, true -- the clock was set back
    end
  end
  local to, to_rem = us + ARGV[a - 5], rem + ARGV[a - 4]
  if to_rem >= den then
    to, to_rem = to + 1, to_rem - den
  end
  ok = ok and (to < most or to == most and to_rem <= most_rem)
  tats[i], rems[i], tos[i], to_rems[i] = us, rem, to, to_rem
end
if ok then
  tats, rems, taken = tos, to_rems, '1 '
end
for i = 1, #KEYS do
  local us, code = tats[i], rems[i] + ARGV[6 * i]
  if code > 0 then
    values[i] = string.format('%016.0f%.0f', us, code)
  else
    values[i] = string.format('%016.0f', us)
  end
  if ok or dirty[i] then
    call('SET', KEYS[i], values[i], 'PX', math.ceil((us - now) / 1000) + 100)
  end
end
return taken .. t[1] .. ' ' .. t[2] .. '  ' .. table.concat(values, ' ')

-- tally.lua: count in the buckets of the server's time.
-- KEYS two hashes for each resolution, of a span and the next: a field for each bucket,
--   by its number in the span
-- ARGV[1] n, and for each resolution  ARGV[2] number of the first span  ARGV[3] how long a
--   span is, s  ARGV[4] how long a bucket is, s  ARGV[5] how long a span is kept when it
--   is over, s
-- Returns {server time us, outcome}: 1 counted; 0 not, because the time is in other spans.
-- Expiry: when the span has been over for ARGV[5]. It is set before the first count too,
-- where it shows that it may be.
local t = redis.call('TIME')
local us, now = string.format('%.0f', t[1] * 1000000 + t[2]), tonumber(t[1])
local at = {}
for i = 1, #KEYS / 2 do
  local a = 4 * i - 2
  local span = math.floor(now / ARGV[a + 1])
  local next = span - ARGV[a]
  if next ~= 0 and next ~= 1 then
    return {us, 0}
  end
  at[i] = {
    key = KEYS[2 * i - 1 + next],
    field = string.format('%.0f', math.floor(now % ARGV[a + 1] / ARGV[a + 2])),
    expiry = string.format('%.0f', (span + 1) * ARGV[a + 1] + ARGV[a + 3]),
  }
end
for i, b in ipairs(at) do
  local there = redis.call('EXPIREAT', b.key, b.expiry) == 1
  local counted = redis.pcall('HINCRBY', b.key, b.field, ARGV[1])
  if type(counted) == 'table' then -- an error: count in all or in none
    local undo = string.match(ARGV[1], '^%-(.*)') or '-' .. ARGV[1]
    for j = 1, i - 1 do
      redis.call('HINCRBY', at[j].key, at[j].field, undo)
    end
    return counted
  end
  if not there then
    redis.call('EXPIREAT', b.key, b.expiry)
  end
end
return {us, 1}

-- tally.lua: count in the buckets of the server's time.
-- KEYS two hashes for each resolution, of a span and the next: a field for each bucket,
--   by its number in the span
-- ARGV[1] n, and for each resolution  ARGV[2] number of the first span  ARGV[3] how long a
--   span is, s  ARGV[4] how long a bucket is, s  ARGV[5] how long a span is kept when it
--   is over, s
-- Returns {server time us, outcome}: 1 counted; 0 not, because the time is in other spans.
-- Expiry: when the span has been over for ARGV[5]; what cannot be given one is not counted.
-- HINCRBY comes first: where memory is short a script may still write if it has written.
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
local function all()
  for i, b in ipairs(at) do
    local counted = redis.pcall('HINCRBY', b.key, b.field, ARGV[1])
    if type(counted) == 'table' then
      return counted, i - 1
    end
    local expires = redis.pcall('EXPIREAT', b.key, b.expiry)
    if type(expires) == 'table' then
      return expires, i
    end
  end
end
local err, done = all()
if err then -- count in all or in none
  for i = 1, done do
    redis.call('HINCRBY', at[i].key, at[i].field, string.match(ARGV[1], '^%-(.*)') or '-' .. ARGV[1])
    if redis.call('HLEN', at[i].key) == 1 and redis.call('HGET', at[i].key, at[i].field) == '0' then
      redis.call('UNLINK', at[i].key)
    end
  end
  return err
end
return {us, 1}

-- number.lua begins publish.lua and append.lua: it numbers the events of a batch.
-- KEYS[1] topic (hash: e epoch, n number of the latest event, t its batch's tag, i its
-- entry's id, p<publisher> = <latest batch> <when, ms>)
-- ARGV[1] PUBLISH or SPUBLISH  ARGV[2] channel  ARGV[3] channel of all topics, or ''
-- ARGV[4] topic  ARGV[5] epoch to begin, if one must  ARGV[6] ttl, ms, or 0  ARGV[7] publisher
-- ARGV[8] batch  ARGV[9] the latest batch known to be done  ARGV[10] events that failed
-- since  ARGV[11] count  ARGV[12] which of ARGV is the first of the batches of unknown
-- outcome since, each with its count
-- Returns 1: done, now or before; 2: too late, a later batch was done.
-- Expiry: the topic ttl after the latest batch; none where 0.
local field = 'p' .. ARGV[7]
local state = redis.call('HMGET', KEYS[1], 'e', 'n', 't', field)
local head = tonumber(string.match(state[4] or '', '^%d+') or 0)
local batch = tonumber(ARGV[8])
if head >= batch then
  return head == batch and 1 or 2
end
local epoch, n, tag = state[1], tonumber(state[2]), state[3]
if not (epoch and n and tag) or head < tonumber(ARGV[9]) then
  epoch, n, tag = ARGV[5], 0, '-' -- the server has lost what it knew
end
local first = n + tonumber(ARGV[10]) + 1
for i = tonumber(ARGV[12]), #ARGV, 2 do
  if tonumber(ARGV[i]) > head then
    first = first + tonumber(ARGV[i + 1])
  end
end
local count = tonumber(ARGV[11])
local latest = first + count - 1
local mine = ARGV[7] .. ':' .. ARGV[8]
local time = redis.call('TIME')
local ms = time[1] * 1000 + math.floor(time[2] / 1000)
local function note(id) -- where the topic is; publishers that are long gone are forgotten
  redis.call('HSET', KEYS[1], 'e', epoch, 'n', string.format('%.0f', latest), 't', mine, 'i', id,
    field, ARGV[8] .. ' ' .. string.format('%.0f', ms))
  if ARGV[6] ~= '0' then
    redis.call('PEXPIRE', KEYS[1], ARGV[6])
  end
  if latest % 64 < count and redis.call('HLEN', KEYS[1]) > 64 then
    local all = redis.call('HGETALL', KEYS[1])
    for i = 1, #all, 2 do
      local when = string.match(all[i + 1], '^%d+ (%d+)$')
      if when and tonumber(when) < ms - 3600000 then
        redis.call('HDEL', KEYS[1], all[i])
      end
    end
  end
end
local function publish(id, records) -- id is that of the first event's entry
  local frame = string.format('1 %s %.0f %s %.0f %s %s %s\n', epoch, n, tag, first, ARGV[11], mine, id) .. records
  redis.call(ARGV[1], ARGV[2], frame)
  if ARGV[3] ~= '' then
    redis.call(ARGV[1], ARGV[3], #ARGV[4] .. ' ' .. ARGV[4] .. frame)
  end
  return 1
end

-- append.lua: put the events of a batch into the history, and publish them. It comes after
-- number.lua.
-- KEYS[2] history (stream: e = a frame of one event)
-- ARGV[13] most entries, or 0  ARGV[14] oldest age, ms, or 0  ARGV[15…14+count] a record each
-- Expiry: the history its age after the latest batch; none where 0.
local before, after = string.format('1 %s %.0f %s ', epoch, n, tag), ' 1 ' .. mine .. ' -\n'
local id, stamp, seq = '*', nil, nil
for i = 1, count do
  local number = string.format('%.0f', first + i - 1)
  id = redis.call('XADD', KEYS[2], id, 'e', before .. number .. after .. ARGV[14 + i])
  before = '1 ' .. epoch .. ' ' .. number .. ' ' .. mine .. ' '
  if not stamp then
    stamp, seq = string.match(id, '^(%d+)-(%d+)$')
  end
  id = stamp .. '-' .. string.format('%.0f', seq + i)
end
note(stamp .. '-' .. string.format('%.0f', seq + count - 1))
if ARGV[13] ~= '0' then
  redis.call('XTRIM', KEYS[2], 'MAXLEN', ARGV[13])
end
if ARGV[14] ~= '0' then
  redis.call('XTRIM', KEYS[2], 'MINID', string.format('%.0f', ms - ARGV[14]))
  redis.call('PEXPIRE', KEYS[2], ARGV[14])
end
return publish(stamp .. '-' .. seq, table.concat(ARGV, '', 15, 14 + count))

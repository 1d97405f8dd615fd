-- union.lua: how many different members sets have together.
-- KEYS… sets, each a set or a HyperLogLog  the last: where a union is made
-- Returns {members, 0 exactly or 1 about}.
-- Expiry: where a union is made, a minute, if an error stops the script before it is
-- removed.
local exact, about = {}, {}
for i = 1, #KEYS - 1 do
  local kind = redis.call('TYPE', KEYS[i]).ok
  if kind == 'set' then
    table.insert(exact, KEYS[i])
  elseif kind ~= 'none' then
    table.insert(about, KEYS[i])
  end
end
if #about == 0 then
  if #exact < 2 then
    return {exact[1] and redis.call('SCARD', exact[1]) or 0, 0}
  end
  return {#redis.call('SUNION', unpack(exact)), 0}
end
if #exact == 0 then
  return {redis.call('PFCOUNT', unpack(about)), 1}
end
local made = KEYS[#KEYS]
redis.call('PEXPIRE', made, 60000)
redis.call('PFMERGE', made, unpack(about))
redis.call('PEXPIRE', made, 60000)
for _, key in ipairs(exact) do
  local members = redis.call('SMEMBERS', key)
  for i = 1, #members, 1000 do
    redis.call('PFADD', made, unpack(members, i, math.min(i + 999, #members)))
  end
end
local n = redis.call('PFCOUNT', made)
redis.call('UNLINK', made)
return {n, 1}

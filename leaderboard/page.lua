-- page.lua: what the scripts that return rows have in common. It comes after read.lua.
-- They return {time us, 1, lag, members, rank of the first row, place of the first row
-- from 0, {member, score, …}, {metadata, …}}.
local total = redis.call('ZCARD', b.z)
local function metadata(members)
  if #members == 0 or redis.call('EXISTS', b.m) == 0 then
    return {}
  end
  return redis.call('HMGET', b.m, unpack(members))
end
local function page(start, stop)
  local list, members, r = {}, {}, 0
  if start <= stop and start < 1e15 then -- beyond 1e17 a number is no index
    list = rows(b.z, start, stop)
  end
  for i = 1, #list, 2 do
    members[#members + 1] = list[i]
  end
  if #list > 0 then
    r = first(b, start, value(list[2]))
  end
  return {us, 1, lag, total, r, start, list, metadata(members)}
end

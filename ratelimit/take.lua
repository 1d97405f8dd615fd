-- take.lua: take as much as all limits allow, the same from each. It follows kinds.lua.
-- ARGV[1] the most to take  ARGV[2] what to take a multiple of
-- ARGV[3] the least to take; else nothing
-- Returns 'taken now', and for each limit 'room retry reset early' as it is afterwards, in
-- us, retry for ARGV[3]; or '-1 now' for lack of parameters, nothing done.
-- Expiry: when a limit is as if never used.
local taken, step, least = ARGV[1] + 0, ARGV[2] + 0, ARGV[3] + 0
local limits = {}
for i = 1, #KEYS do
  local s = limit(i)
  if not s then
    return string.format('-1 %.0f', now)
  end
  limits[i] = s
  taken = math.min(taken, s.room)
end
taken = taken - taken % step
if taken < least then
  taken = 0
end
local out = {string.format('%.0f %.0f', taken, now)}
for i, s in ipairs(limits) do
  if taken > 0 then
    s.add(taken)
  end
  if taken > 0 or s.dirty then
    s.write()
  end
  out[i + 1] = told(s, least)
end
return table.concat(out, ' ')

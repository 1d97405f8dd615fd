-- peek.lua: tell how limits stand. It follows kinds.lua.
-- ARGV[3] what is asked about; ARGV[1] and [2] are not used
-- Returns '0 now', and for each limit 'room retry reset early', in us, retry for ARGV[3]; or
-- '-1 now' for lack of parameters.
-- Expiry: unchanged.
local out = {string.format('0 %.0f', now)}
for i = 1, #KEYS do
  local s = limit(i)
  if not s then
    return string.format('-1 %.0f', now)
  end
  out[i + 1] = told(s, ARGV[3] + 0)
end
return table.concat(out, ' ')

-- limits.lua comes between the algorithms and the operation; see kinds.lua.
-- limit(i) reads the i-th limit; told(s, n) is what there is to say about one.
local function limit(i)
  local a, p = 7 * i - 3, {}
  for k = 1, 6 do
    p[k] = ARGV[a + k] + 0
  end
  return kinds[ARGV[a]](KEYS[i], p)
end
local function told(s, n)
  local retry, reset, early = s.tell(n)
  return string.format('%.0f %.0f %.0f %.0f', s.room, math.max(retry, 0), math.max(reset, 0), early or 0)
end

-- after.lua: rows after a row, wherever it is by now. It follows page.lua.
-- ARGV next: number of rows; score of that row, empty for the start; its member.
-- Returns as page.lua says. If it is not there any more the rows begin with the first of
-- the same score.
local n, s, member = number(), arg(), arg()
local start = 0
if s ~= '' then
  if redis.call('ZSCORE', b.z, member) == s then
    start = place(b.z, member) + 1
  else
    start = before(b.z, s)
  end
end
return page(start, start + n - 1)

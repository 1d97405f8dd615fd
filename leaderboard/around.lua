-- around.lua: rows around a member. It follows page.lua.
-- ARGV next: member; number of rows.
-- Returns as page.lua says; {time us, 1, lag, members} if there is no such member.
local member, n = arg(), number()
local at = place(b.z, member)
if not at then
  return {us, 1, lag, total}
end
local start = math.max(0, math.min(at - math.floor((n - 1) / 2), total - n))
return page(start, start + n - 1)

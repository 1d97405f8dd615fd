-- between.lua: rows of the values between two. It follows page.lua.
-- ARGV next: the better and the worse of the two; offset; number of rows.
-- Returns as page.lua says, members being those of such values.
local ahead = better(b.z, number())
total = math.max(0, upto(b.z, number()) - ahead)
local start = ahead + number()
return page(start, math.min(start + number(), ahead + total) - 1)

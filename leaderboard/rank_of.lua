-- rank_of.lua: the rank that a value would have. It follows page.lua.
-- ARGV next: value.
-- Returns {time us, 1, lag, members, rank}.
return {us, 1, lag, total, would(b, number())}

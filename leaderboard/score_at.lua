-- score_at.lua: the values on both sides of a percentile. It follows page.lua.
-- ARGV next: how many per cent are to be as good or better, 0 for the best.
-- Returns {time us, 1, lag, members, place that the percentile has, from 0, {member, score, …}}.
local at = math.max(0, total - 1) * number() / 100 -- not -0, which is no index
return {us, 1, lag, total, string.format('%.17g', at), rows(b.z, math.floor(at), math.floor(at) + 1)}

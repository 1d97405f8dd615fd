-- get.lua: the scores and ranks of members. It follows page.lua.
-- ARGV next: members.
-- Returns {time us, 1, lag, members, {score or nothing, …}, {rank, …}, {metadata, …}}.
local members, scores, ranks = {}, {}, {}
for i = args_used + 1, #ARGV do
  local s = redis.call('ZSCORE', b.z, ARGV[i])
  members[#members + 1] = ARGV[i]
  scores[#scores + 1] = s
  ranks[#ranks + 1] = s and rank(b, ARGV[i], value(s)) or 0
end
return {us, 1, lag, total, scores, ranks, metadata(members)}

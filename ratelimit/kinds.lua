-- kinds.lua begins the scripts that count limits of any kind. Then come bucket.lua,
-- log.lua, window.lua and fixed.lua, one function for each algorithm, and an operation.
-- KEYS: one for each limit. ARGV: three numbers for the operation, and for each limit
-- the letter of its kind and six parameters, 0 for those it has not.
--
-- A function reads what was counted under a key, at the server's time now, and returns
-- a table: room, how much may be taken; dirty, if a clock that was set back made it
-- correct what it read; add(n) counts n, or uncounts -n; write() stores that; tell(n)
-- returns in how many us n may be taken, and in how many it will be as if never used; for
-- a bucket also by how much that is rounded up, in the denominator's parts of a us.
-- It writes nothing before it is told to. It returns nil if it lacks the parameters
-- for this time.
local t = redis.call('TIME')
local now = t[1] * 1000000 + t[2]
local kinds = {}

-- time.lua begins every script: the server's time, and the next of KEYS and ARGV. What
-- follows depends on the board, and scripts.go puts it together: [water.lua], how scores
-- are ordered (packed.lua and packed_order.lua, plain.lua or reverse.lua), how members are
-- ranked (competition.lua, dense.lua or ordinal.lua), keys.lua, and for what changes
-- something the mode (best.lua, last.lua or sum.lua), change.lua and window.lua; then an
-- operation.
-- A value in a script is canonical: the smaller is the better.
local t = redis.call('TIME')
local now = t[1] * 1000000 + t[2]
local keys_used, args_used = 0, 0
local function key()
  keys_used = keys_used + 1
  return KEYS[keys_used]
end
local function arg()
  args_used = args_used + 1
  return ARGV[args_used]
end
local function number()
  return arg() + 0
end
local function text(n)
  return string.format('%.0f', n)
end
local function rise() end -- see water.lua

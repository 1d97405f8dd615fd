-- range.lua: rows by their place. It follows page.lua.
-- ARGV next: place of the first row, from 0; number of rows.
local start = number()
return page(start, start + number() - 1)

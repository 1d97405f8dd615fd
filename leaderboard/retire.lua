-- retire.lua: a read retires what has expired in a rolling window. It comes after
-- read.lua.
lag = retire(b, most, 1)

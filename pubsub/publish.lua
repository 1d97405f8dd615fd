-- publish.lua: publish the events of a batch. It comes after number.lua.
-- ARGV[13] records
-- The topic is written first: where memory is short nothing is published that is not
-- numbered.
note('-')
return publish('-', ARGV[13])

#!lua flags=allow-oom
-- Changes notes of a partition, under its newest epoch alone.
--
-- KEYS  epoch, notes
-- ARGV  epoch, how many are set, name, text, name, text …, and the names of those that go
-- Returns whether it was done, as 1 or 0

local EPOCH, NOTES = unpack(KEYS)
local epoch, count = ARGV[1], tonumber(ARGV[2])

if redis.call('GET', EPOCH) ~= epoch then
  return 0
end
for i = 3, 2 * count + 2, 2 do
  redis.call('HSET', NOTES, ARGV[i], ARGV[i + 1])
end
for i = 2 * count + 3, #ARGV do
  redis.call('HDEL', NOTES, ARGV[i])
end
return 1

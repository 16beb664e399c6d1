#!lua
-- Appends inputs to a partition's topic: all of them, or none.
--
-- KEYS  topic
-- ARGV  deadline (ms), how many entries the topic may hold, input, input …
-- Returns 'done', 'late' or 'full'

local TOPIC = KEYS[1]
local deadline, entries_max = tonumber(ARGV[1]), tonumber(ARGV[2])
local FIRST_INPUT = 3

local time = redis.call('TIME')
if time[1] * 1000 + math.floor(time[2] / 1000) > deadline then
  return 'late'
end
if redis.call('XLEN', TOPIC) + #ARGV - FIRST_INPUT + 1 > entries_max then
  return 'full'
end

for i = FIRST_INPUT, #ARGV do
  redis.call('XADD', TOPIC, '*', 'input', ARGV[i])
end
return 'done'

#!lua flags=allow-oom
-- Gives a lease up, if it is held, and tells everybody.
--
-- KEYS  lease
-- ARGV  epoch, channel, what is said there

local LEASE = KEYS[1]
local epoch, channel, message = unpack(ARGV)

local held = redis.call('GET', LEASE)
if held and held:match('^%d+') == epoch then
  redis.call('DEL', LEASE)
  redis.call('PUBLISH', channel, message)
end

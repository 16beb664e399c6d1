#!lua flags=allow-oom
-- Gives a lease up, if it is held, and tells everybody.
--
-- KEYS  lease; of a partition also barren
-- ARGV  epoch, channel, what is said there

local LEASE, BARREN = unpack(KEYS)
local epoch, channel, message = unpack(ARGV)

local held = redis.call('GET', LEASE)
if held and held:match('^%d+') == epoch then
  redis.call('DEL', LEASE)
  if BARREN then
    redis.call('DEL', BARREN)
  end
  redis.call('PUBLISH', channel, message)
end

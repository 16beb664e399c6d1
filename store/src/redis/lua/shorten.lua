#!lua flags=allow-oom
-- Shortens a lease that is held for longer than was asked for, if nobody has prolonged it since that was seen (T5).
--
-- KEYS  lease
-- ARGV  what it was, what it is to be

local LEASE = KEYS[1]
local old, new = unpack(ARGV)

if redis.call('GET', LEASE) == old then
  redis.call('SET', LEASE, new)
end

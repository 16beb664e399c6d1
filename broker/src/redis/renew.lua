#!lua flags=allow-oom
-- Prolongs a lease that is held. PEXPIRE works at the memory limit, where SET would not (W7).
--
-- KEYS  lease
-- ARGV  epoch, ttl (ms)
-- Returns whether it is held, as 1 or 0

local LEASE = KEYS[1]
local epoch, ttl_ms = unpack(ARGV)

local held = redis.call('GET', LEASE)
if not held or held:match('^%d+') ~= epoch then
  return 0
end
return redis.call('PEXPIRE', LEASE, ttl_ms)

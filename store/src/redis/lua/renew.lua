#!lua flags=allow-oom
-- Prolongs a lease that is held, at the memory limit too (W7).
--
-- KEYS  lease
-- ARGV  epoch, ttl (ms), what time it is (ms)
-- Returns whether it is held, as 1 or 0

local LEASE = KEYS[1]
local epoch, ttl_ms, now_ms = ARGV[1], ARGV[2], tonumber(ARGV[3])

local held = redis.call('GET', LEASE) or ''
local newest, owner, until_ms = held:match('^(%d+) ([^ ]+) (%d+) %d+$')
if newest ~= epoch or now_ms >= tonumber(until_ms) then
  return 0
end
redis.call('SET', LEASE, string.format('%s %s %.0f %s', epoch, owner, now_ms + ttl_ms, ttl_ms))
return 1

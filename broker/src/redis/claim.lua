#!lua flags=allow-oom
-- Claims a lease that nobody holds, under an epoch higher than any before. The clock is a lower bound,
-- so that epochs rise even where the store forgot the ones before; a bit of chance makes that of a grant
-- which a failover has lost another one than that of the next grant.
--
-- KEYS  lease, epoch
-- ARGV  owner, ttl (ms), chance
-- Returns the epoch and the clock (ms), or false where somebody holds it

local LEASE, EPOCH = unpack(KEYS)
local owner, ttl_ms, chance = unpack(ARGV)

if redis.call('EXISTS', LEASE) == 1 then
  return false
end

local time = redis.call('TIME')
local now_ms = time[1] * 1000 + math.floor(time[2] / 1000)
local now_us = time[1] * 1000000 + time[2]
local epoch = math.max(redis.call('GET', EPOCH) or 0, now_us) + 1 + chance
local text = string.format('%.0f', epoch)

-- The epoch first: one that was raised for nothing harms nobody.
redis.call('SET', EPOCH, text)
redis.call('SET', LEASE, text .. ' ' .. owner, 'PX', ttl_ms)
return {epoch, now_ms}

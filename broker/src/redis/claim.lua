#!lua flags=allow-oom
-- Claims a lease that nobody holds, under an epoch higher than any before. The clock is a lower bound,
-- so that epochs rise even where the store forgot the ones before.
--
-- KEYS  lease, epoch
-- ARGV  owner, ttl (ms)
-- Returns the epoch and the clock (ms), or false where somebody holds it

local LEASE, EPOCH = unpack(KEYS)
local owner, ttl_ms = unpack(ARGV)

if redis.call('EXISTS', LEASE) == 1 then
  return false
end

local time = redis.call('TIME')
local now_ms = time[1] * 1000 + math.floor(time[2] / 1000)
local epoch = math.max((redis.call('GET', EPOCH) or 0) + 1, now_ms)
local text = string.format('%.0f', epoch)

redis.call('SET', EPOCH, text)
redis.call('SET', LEASE, text .. ' ' .. owner, 'PX', ttl_ms)
return {epoch, now_ms}

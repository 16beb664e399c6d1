#!lua flags=allow-oom
-- Claims a lease that nobody holds, under an epoch higher than any before. The clock is a lower bound,
-- so that epochs rise even where the store forgot the ones before; a bit of chance makes that of a grant
-- which a failover has lost another one than that of the next grant. Of a partition, grants in a row that were neither
-- given up nor led to a commit are counted: whoever had them may have died of what they found.
--
-- KEYS  lease, epoch; of a partition also cursor, barren
-- ARGV  owner, ttl (ms), chance
-- Returns the epoch, the clock (ms), and how many grants before this one came to nothing; or false where somebody
-- holds it

local LEASE, EPOCH, CURSOR, BARREN = unpack(KEYS)
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

local barren = 0
if CURSOR then
  local cursor = redis.call('GET', CURSOR) or ''
  local before, stood = (redis.call('GET', BARREN) or ''):match('^(%d+) (.*)$')
  if before and stood == cursor then
    barren = before + 1
  end
  redis.call('SET', BARREN, string.format('%.0f', barren) .. ' ' .. cursor)
end
return {epoch, now_ms, barren}

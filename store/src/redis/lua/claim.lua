#!lua flags=allow-oom
-- Claims a lease that nobody holds, under an epoch higher than any before. The clock is a lower bound,
-- so that epochs rise even where the store forgot the ones before; a bit of chance makes that of a grant
-- which a failover has lost another one than that of the next grant. Of a partition, grants in a row that were neither
-- given up nor led to a commit are counted: whoever had them may have died of what they found.
--
-- KEYS  lease, epoch; of a partition also cursor, barren
-- ARGV  owner, ttl (ms), chance, what time it is (ms)
-- Returns the epoch, and how many grants before this one came to nothing; or false where somebody holds it

local LEASE, EPOCH, CURSOR, BARREN = unpack(KEYS)
local owner, ttl_ms, chance, now_ms = ARGV[1], ARGV[2], ARGV[3], tonumber(ARGV[4])

local held = redis.call('GET', LEASE)
if held then
  local until_ms = held:match('^%d+ [^ ]+ (%d+) %d+$')
  -- One of an older version goes by itself.
  if not until_ms or now_ms < tonumber(until_ms) then
    return false
  end
end

local time = redis.call('TIME')
local now_us = time[1] * 1000000 + time[2]
local epoch = math.max(redis.call('GET', EPOCH) or 0, now_us) + 1 + chance
local text = string.format('%.0f', epoch)

-- The epoch first: one that was raised for nothing harms nobody.
redis.call('SET', EPOCH, text)
redis.call('SET', LEASE, string.format('%s %s %.0f %s', text, owner, now_ms + ttl_ms, ttl_ms))

local barren = 0
if CURSOR then
  local cursor = redis.call('GET', CURSOR) or ''
  local before, stood = (redis.call('GET', BARREN) or ''):match('^(%d+) (.*)$')
  if before and stood == cursor then
    barren = before + 1
  end
  redis.call('SET', BARREN, string.format('%.0f', barren) .. ' ' .. cursor)
end
return {epoch, barren}

#!lua flags=no-writes
-- Finds records that are due by Redis's own clock, the longest due first.
--
-- KEYS  due
-- ARGV  how many at most
-- Returns their sids

local time = redis.call('TIME')
local now_ms = string.format('%.0f', time[1] * 1000 + math.floor(time[2] / 1000))
return redis.call('ZRANGE', KEYS[1], '-inf', now_ms, 'BYSCORE', 'LIMIT', 0, ARGV[1])

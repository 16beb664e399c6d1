#!lua flags=no-writes
-- Finds records that are due, the longest due first.
--
-- KEYS  due
-- ARGV  what time it is (ms), how many at most
-- Returns their sids

return redis.call('ZRANGE', KEYS[1], '-inf', ARGV[1], 'BYSCORE', 'LIMIT', 0, ARGV[2])

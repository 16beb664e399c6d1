#!lua flags=no-writes
-- Reads a piece of a log along with the log's ends, at one moment. MULTI would do, were it not that
-- Redis refuses even reads within it at the memory limit.
--
-- KEYS  log
-- ARGV  XRANGE or XREVRANGE, its two ends, how many entries at most
-- Returns the entries, and the ids of the log's first and last entry (or false: a nil ends the list)

local LOG = KEYS[1]
local command, one_end, other_end, max = unpack(ARGV)

local first = redis.call('XRANGE', LOG, '-', '+', 'COUNT', 1)[1]
local last = redis.call('XREVRANGE', LOG, '+', '-', 'COUNT', 1)[1]

return {
  redis.call(command, LOG, one_end, other_end, 'COUNT', max),
  first ~= nil and first[1],
  last ~= nil and last[1],
}

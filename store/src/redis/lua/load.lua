#!lua flags=no-writes
-- Loads a room whole, at one moment.
--
-- KEYS  log, room, parked
-- Returns the room's fields and values, the entries behind its snapshot, the id of its log's first entry
-- (or false: a nil would end the list), and its parked inputs

local LOG, ROOM, PARKED = unpack(KEYS)

local snapshot_off = redis.call('HGET', ROOM, 'snapshot_off') or '0'
local first = redis.call('XRANGE', LOG, '-', '+', 'COUNT', 1)[1]

return {
  redis.call('HGETALL', ROOM),
  redis.call('XRANGE', LOG, string.format('%.0f', snapshot_off + 1), '+'),
  first ~= nil and first[1],
  redis.call('LRANGE', PARKED, 0, -1),
}

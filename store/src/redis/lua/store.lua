#!lua flags=allow-oom
-- What kind of store this is: written by the first process that comes, read by all others (L3).
--
-- KEYS  store
-- ARGV  format, P, S, an id for the store in case it is new
-- Returns format, P, S, id

local STORE = KEYS[1]
local format, partitions, shards, id = unpack(ARGV)

if redis.call('EXISTS', STORE) == 0 then
  redis.call('HSET', STORE, 'format', format, 'partitions', partitions, 'shards', shards, 'id', id)
end
return redis.call('HMGET', STORE, 'format', 'partitions', 'shards', 'id')

#!lua flags=allow-oom
-- How long sessions live without a socket: one value for all who use the store (L10).
--
-- KEYS  store
-- ARGV  ttl (ms), grace (ms), '1' where these are to count whatever stands there
-- Returns the ttl and the grace that count

local STORE = KEYS[1]
local ttl_ms, grace_ms, decree = unpack(ARGV)

local known = redis.call('HMGET', STORE, 'ttl_ms', 'grace_ms')
if known[1] and known[2] and decree ~= '1' then
  return {tonumber(known[1]), tonumber(known[2])}
end
-- A store that was emptied is made by whoever checks what it is.
if redis.call('EXISTS', STORE) == 1 then
  redis.call('HSET', STORE, 'ttl_ms', ttl_ms, 'grace_ms', grace_ms)
end
return {tonumber(ttl_ms), tonumber(grace_ms)}

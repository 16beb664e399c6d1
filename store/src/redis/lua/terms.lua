#!lua flags=allow-oom
-- How long sessions live without a socket: one value for all who use the store (L10).
--
-- KEYS  store
-- ARGV  ttl (ms), grace (ms), and when these are to count: 'agree' where there are none, 'uphold' where nobody decreed
--       those that are there, 'decree' whatever is there
-- Returns the ttl and the grace that count

local STORE = KEYS[1]
local ttl_ms, grace_ms, how = unpack(ARGV)

local known = redis.call('HMGET', STORE, 'ttl_ms', 'grace_ms', 'terms_decreed')
if known[1] and known[2] and (how == 'agree' or how == 'uphold' and known[3]) then
  return {tonumber(known[1]), tonumber(known[2])}
end
-- A store that was emptied is made by whoever checks what it is.
if redis.call('EXISTS', STORE) == 1 then
  redis.call('HSET', STORE, 'ttl_ms', ttl_ms, 'grace_ms', grace_ms)
  if how ~= 'agree' then
    redis.call('HSET', STORE, 'terms_decreed', 1)
  end
end
return {tonumber(ttl_ms), tonumber(grace_ms)}

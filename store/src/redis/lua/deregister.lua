#!lua flags=allow-oom
-- Strikes members off, if they were not heard of since.
--
-- KEYS  members
-- ARGV  when they were last heard of at the latest (ms), member, member …
-- Returns how many were struck

local MEMBERS, heard_ms = KEYS[1], ARGV[1]

local struck = 0
for i = 2, #ARGV do
  local heard = redis.call('ZSCORE', MEMBERS, ARGV[i])
  if heard and (heard_ms == '' or tonumber(heard) <= tonumber(heard_ms)) then
    struck = struck + redis.call('ZREM', MEMBERS, ARGV[i])
  end
end
return struck

#!lua flags=allow-oom
-- Notes that a member is alive, at the memory limit too: its silence would be taken for its death (W7).
--
-- KEYS  members
-- ARGV  member, what time it is (ms)
-- Returns whether the member was unknown, as 1 or 0

local MEMBERS = KEYS[1]
local member, now_ms = unpack(ARGV)

return redis.call('ZADD', MEMBERS, now_ms, member)

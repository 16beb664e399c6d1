#!lua flags=allow-oom
-- Notes that a member is alive, at the memory limit too: its silence would be taken for its death (W7).
--
-- KEYS  members
-- ARGV  member
-- Returns the clock (ms) and whether the member was unknown, as 1 or 0

local MEMBERS, member = KEYS[1], ARGV[1]

local time = redis.call('TIME')
local now_ms = time[1] * 1000 + math.floor(time[2] / 1000)
return {now_ms, redis.call('ZADD', MEMBERS, now_ms, member)}

#!lua
-- A commit: everything in it happens, or nothing does (W2), and only under the newest epoch (W1).
--
-- KEYS  epoch, cursor, topic, wakes, unread, notes, then for each room: log, room, parked
-- ARGV  the commit in MessagePack, as commit.rs packs it; rooms in the order of their keys
-- Returns 'now', 'before', 'fenced', or 'moved' and what stands where it should not

local EPOCH, CURSOR, TOPIC, WAKES, UNREAD, NOTES = unpack(KEYS, 1, 6)
local commit = cmsgpack.unpack(ARGV[1])

for i, room in ipairs(commit.rooms) do
  room.LOG, room.ROOM, room.PARKED = unpack(KEYS, 3 * i + 4, 3 * i + 6)
end

-- Check everything before the first write, since a script does not roll back.

if redis.call('GET', EPOCH) ~= commit.epoch then
  return {'fenced'}
end

local cursor = redis.call('GET', CURSOR) or '0-0/0/0'
if cursor == commit.to then
  return {'before'}
elseif cursor ~= commit.from then
  return {'moved', 'the cursor is at ' .. cursor .. ', not at ' .. commit.from}
end

for _, room in ipairs(commit.rooms) do
  local old = redis.call('HMGET', room.ROOM, 'end', 'wake_ms', 'gone_ms')
  local last = old[1] or '0-0'
  room.is_new, room.old_wake_ms, room.old_gone_ms = not old[1], old[2], old[3]
  if last ~= room.prev then
    return {'moved', room.name .. ' ends at ' .. last .. ', not at ' .. room.prev}
  end
end

-- Write. What goes wrong here (a key of another type, a right that an older ACL file does not grant) leaves
-- what stands before it. So the cursor comes last: until then a repetition is not told that this has happened,
-- and whoever starts over finds the inputs where they were, and each room either as it was or as it is to be,
-- which tells what it has seen already (A1). What comes after the cursor may be left out.

local function now_ms()
  local time = redis.call('TIME')
  return time[1] * 1000 + math.floor(time[2] / 1000)
end

-- One command for all that is in the list, or a few: a call takes only so many arguments.
local function all(command, key, list)
  local AT_ONCE = 1000
  for first = 1, #list, AT_ONCE do
    redis.call(command, key, unpack(list, first, math.min(first + AT_ONCE - 1, #list)))
  end
end

-- It drops nothing yet: who may not (an older ACL file) has changed nothing.
if commit.reread then
  redis.call('LTRIM', UNREAD, 0, -1)
end

for _, room in ipairs(commit.rooms) do
  local set, forget = room.set, room.forget

  -- First what does no harm where the room's own step fails: a key that stays too long, a wake too many.
  if room.old_gone_ms then
    for _, key in ipairs({room.LOG, room.ROOM, room.PARKED}) do
      redis.call('PERSIST', key)
    end
  end
  -- One that went and is there again may have left its wake behind.
  local wake_goes = not room.wake_ms and (room.old_wake_ms or room.is_new)
  if wake_goes then
    forget[#forget + 1] = 'wake_ms'
  elseif room.wake_ms and room.wake_ms ~= room.old_wake_ms then
    redis.call('ZADD', WAKES, room.wake_ms, room.name)
    set[#set + 1], set[#set + 2] = 'wake_ms', room.wake_ms
  end

  local gone_ms = room.ttl_ms and string.format('%.0f', now_ms() + room.ttl_ms)
  if gone_ms then
    set[#set + 1], set[#set + 2] = 'gone_ms', gone_ms
  elseif room.old_gone_ms then
    forget[#forget + 1] = 'gone_ms'
  end

  -- The step: its first XADD fails, if any does, and the hash was read above.
  for i, json in ipairs(room.entries) do
    redis.call('XADD', room.LOG, room.positions[i], 'entry', json)
  end
  all('HSET', room.ROOM, set)
  all('HDEL', room.ROOM, forget)

  if wake_goes then
    redis.call('ZREM', WAKES, room.name)
  end
  if room.log_from then
    redis.call('XTRIM', room.LOG, 'MINID', room.log_from)
  end
  if room.unpark then
    redis.call('DEL', room.PARKED)
  end
  all('RPUSH', room.PARKED, room.park)

  -- All at the same moment, so that a room is never half there.
  if gone_ms then
    for _, key in ipairs({room.LOG, room.ROOM, room.PARKED}) do
      redis.call('PEXPIREAT', key, gone_ms)
    end
  end
end

all('RPUSH', UNREAD, commit.unread)
redis.call('SET', CURSOR, commit.to)

-- It has happened. What was taken up goes, and everybody is told.

if commit.reread then
  redis.call('LTRIM', UNREAD, commit.reread, -1)
end
all('HDEL', NOTES, commit.unnote)
if commit.topic_from then
  redis.call('XTRIM', TOPIC, 'MINID', '~', commit.topic_from)
end

-- All rooms before all replies. Entries go out as the very text that was stored.

for _, room in ipairs(commit.rooms) do
  if #room.entries + #room.signals > 0 then
    redis.call('SPUBLISH', room.channel,
      '{"room":"' .. room.name .. '",' ..
      '"prev":"' .. room.prev .. '",' ..
      '"entries":[' .. table.concat(room.entries, ',') .. '],' ..
      '"signals":[' .. table.concat(room.signals, ',') .. ']}')
  end
end
for _, reply in ipairs(commit.replies) do
  redis.call('SPUBLISH', reply.channel, reply.texts)
end

return {'now'}

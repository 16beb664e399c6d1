#!lua flags=allow-oom
-- Writes a session record, if it has the expected version, along with every index that finds it.
-- records.rs takes the flag away where a record is created: at the memory limit there are no new
-- sessions, and those that are there are kept (W7).
--
-- KEYS  session, due, owned, owners, groups
-- ARGV  sid, the expected version (0 for none), due (ms), owner, group, how many the group may hold, the
--       value; '' stands for nothing, and no value for a deletion
-- Returns 'done', 'conflict' or 'full'

local SESSION, DUE, OWNED, OWNERS, GROUPS = unpack(KEYS)
local sid, expect, due_ms, owner, group, group_max, value = unpack(ARGV)

if not value then
  -- What is deleted stands in no index.
  due_ms, owner, group = '', '', ''
end

local old = redis.call('HMGET', SESSION, 'version', 'owner', 'group')
local version, old_owner, old_group = old[1] or '0', old[2] or '', old[3] or ''

-- What a group's members begin with; its length keeps it apart from every other group.
local function in_group(name)
  return #name .. ':' .. name .. ' '
end

if version ~= expect then
  return 'conflict'
end
if version == '0' and group ~= '' then
  local counted = redis.call('ZLEXCOUNT', GROUPS, '[' .. in_group(group), '(' .. in_group(group) .. '~')
  if counted >= tonumber(group_max) then
    return 'full'
  end
end

-- Counts a name up or down, and forgets it at 0.
local function count(key, name, by)
  if redis.call('HINCRBY', key, name, by) == 0 then
    redis.call('HDEL', key, name)
  end
end

if old_owner ~= owner then
  if old_owner ~= '' then
    redis.call('ZREM', OWNED, old_owner .. ' ' .. sid)
    count(OWNERS, old_owner, -1)
  end
  if owner ~= '' then
    redis.call('ZADD', OWNED, 0, owner .. ' ' .. sid)
    count(OWNERS, owner, 1)
  end
end

if old_group ~= group then
  if old_group ~= '' then
    redis.call('ZREM', GROUPS, in_group(old_group) .. sid)
  end
  if group ~= '' then
    redis.call('ZADD', GROUPS, 0, in_group(group) .. sid)
  end
end

if due_ms ~= '' then
  redis.call('ZADD', DUE, due_ms, sid)
else
  redis.call('ZREM', DUE, sid)
end

if value then
  local next_version = string.format('%.0f', version + 1)
  redis.call('HSET', SESSION,
    'version', next_version, 'value', value, 'owner', owner, 'group', group)
else
  redis.call('DEL', SESSION)
end
return 'done'

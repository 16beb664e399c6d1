#!lua flags=allow-oom
-- Writes session records, each if it has the expected version, along with every index that finds it.
-- records.rs takes the flag away where records are created: at the memory limit there are no new
-- sessions, and those that are there are kept (W7).
--
-- KEYS  for each record session, due, owned, groups
-- ARGV  for each record sid, the expected version (0 for none), due (ms), owner, group, how many the group
--       may hold, 'keep' or 'delete', the value; '' stands for nothing
-- Returns for each record 'done', 'conflict', 'full', or what went wrong

-- What a group's members begin with; its length keeps it apart from every other group.
local function in_group(name)
  return #name .. ':' .. name .. ' '
end

local function write(keys, args)
  local SESSION, DUE, OWNED, GROUPS = unpack(KEYS, keys, keys + 3)
  local sid, expect, due_ms, owner, group, group_max, fate, value = unpack(ARGV, args, args + 7)

  if fate == 'delete' then
    -- What is deleted stands in no index.
    due_ms, owner, group = '', '', ''
  end

  local old = redis.call('HMGET', SESSION, 'version', 'due', 'owner', 'group')
  local version, old_due_ms, old_owner, old_group = old[1] or '0', old[2] or '', old[3] or '', old[4] or ''

  if version ~= expect then
    return 'conflict'
  end
  if version == '0' and group ~= '' then
    local counted = redis.call('ZLEXCOUNT', GROUPS, '[' .. in_group(group), '(' .. in_group(group) .. '~')
    if counted >= tonumber(group_max) then
      return 'full'
    end
  end

  -- A script does not roll back: what goes wrong leaves what stands before it. So the record is never missing
  -- from an index that should find it; one that finds too much looks at the record.
  if owner ~= '' and owner ~= old_owner then
    redis.call('ZADD', OWNED, 0, owner .. ' ' .. sid)
  end
  if group ~= '' and group ~= old_group then
    redis.call('ZADD', GROUPS, 0, in_group(group) .. sid)
  end
  if due_ms ~= '' and due_ms ~= old_due_ms then
    redis.call('ZADD', DUE, due_ms, sid)
  end

  if fate == 'keep' then
    local next_version = string.format('%.0f', version + 1)
    redis.call('HSET', SESSION,
      'version', next_version, 'value', value, 'due', due_ms, 'owner', owner, 'group', group)
  else
    redis.call('DEL', SESSION)
  end

  if old_owner ~= '' and old_owner ~= owner then
    redis.call('ZREM', OWNED, old_owner .. ' ' .. sid)
  end
  if old_group ~= '' and old_group ~= group then
    redis.call('ZREM', GROUPS, in_group(old_group) .. sid)
  end
  if old_due_ms ~= '' and due_ms == '' then
    redis.call('ZREM', DUE, sid)
  end
  return 'done'
end

-- What goes wrong with one is not the others' error.
local outcomes = {}
for i = 1, #KEYS / 4 do
  local ran, outcome = pcall(write, 4 * i - 3, 8 * i - 7)
  outcomes[i] = ran and outcome or type(outcome) == 'table' and outcome.err or tostring(outcome)
end
return outcomes

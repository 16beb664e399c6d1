#!lua flags=allow-oom
-- Makes the indexes say of records what those say themselves.
--
-- KEYS  due, owned, groups, then each record's session
-- ARGV  for each record sid, the owner and the group under which it was seen; '' stands for nothing
-- Returns for each record how many entries were removed, and how many put back or put right

local DUE, OWNED, GROUPS = unpack(KEYS, 1, 3)

local function in_group(name)
  return #name .. ':' .. name .. ' '
end

local answers = {}
for i = 1, #KEYS - 3 do
  local sid, seen_owner, seen_group = unpack(ARGV, 3 * i - 2, 3 * i)
  local record = redis.call('HMGET', KEYS[3 + i], 'version', 'due', 'owner', 'group')
  local due_ms, owner, group = '', '', ''
  if record[1] then
    due_ms, owner, group = record[2] or '', record[3] or '', record[4] or ''
  end
  local removed, restored = 0, 0

  if due_ms == '' then
    removed = removed + redis.call('ZREM', DUE, sid)
  elseif tonumber(redis.call('ZSCORE', DUE, sid) or -1) ~= tonumber(due_ms) then
    redis.call('ZADD', DUE, due_ms, sid)
    restored = restored + 1
  end

  if seen_owner ~= '' and seen_owner ~= owner then
    removed = removed + redis.call('ZREM', OWNED, seen_owner .. ' ' .. sid)
  end
  if owner ~= '' then
    restored = restored + redis.call('ZADD', OWNED, 0, owner .. ' ' .. sid)
  end

  if seen_group ~= '' and seen_group ~= group then
    removed = removed + redis.call('ZREM', GROUPS, in_group(seen_group) .. sid)
  end
  if group ~= '' then
    restored = restored + redis.call('ZADD', GROUPS, 0, in_group(group) .. sid)
  end
  answers[i] = {removed, restored}
end
return answers

#!lua flags=no-writes
-- Finds everybody who owns a record, by leaps through the index: from one owner's first to behind its last.
--
-- KEYS  owned
-- Returns the owners

local owners, from = {}, '-'
while true do
  local first = redis.call('ZRANGE', KEYS[1], from, '+', 'BYLEX', 'LIMIT', 0, 1)[1]
  if not first then
    return owners
  end
  local owner = string.match(first, '^[^ ]*')
  owners[#owners + 1] = owner
  -- '~' comes behind everything that a sid can begin with.
  from = '(' .. owner .. ' ~'
end

#!lua flags=allow-oom
-- The store's time is Redis's clock plus an offset that lies here (T1). Whoever looks leaves when it was; so
-- whoever finds much more or less time between two looks than there can be, finds that the clock has showed
-- (a failover included), and moves the offset, so that time goes on from what it was by its own reckoning (T2).
-- When this runs, what the caller reckoned may be old: it is only told what lies here then, and moves the offset
-- by a second look, if it still finds a jump.
--
-- KEYS  store
-- ARGV  what time the caller reckons it is (ms), '' if it does not know; 1 if nobody else has looked for a while;
--       when somebody had looked last in the caller's first look, and the offset to move to (ms): both '' in a first look
-- Returns the time (ms), the offset (ms), what the time would have been after a jump for which the offset was moved
-- now (0 if there was none, -1 where that cannot be known yet, -2 where the caller is to see whether there was one),
-- and when somebody had looked last

local STORE = KEYS[1]
local reckoned, alone = tonumber(ARGV[1]), ARGV[2] == '1'
local seen_before, moved = ARGV[3], tonumber(ARGV[4])

local JUMP_MS, LOOKS_EVERY_MS, PACE = 1000, 200, 50

local time = redis.call('TIME')
local clock = time[1] * 1000 + math.floor(time[2] / 1000)
local old = redis.call('HMGET', STORE, 'clock_seen_ms', 'clock_offset_ms', 'format')
local seen, offset = tonumber(old[1] or ''), tonumber(old[2] or '') or 0
local passed = seen and clock - seen or 0

local function differs(offset)
  return reckoned and math.abs(clock + offset - reckoned) > JUMP_MS
end

local showed = 0
if seen and passed >= -JUMP_MS and passed <= JUMP_MS then
  -- The difference to the clock is worked off (T3).
  if passed >= LOOKS_EVERY_MS then
    local part = math.min(math.abs(offset), math.floor(passed / PACE))
    offset = offset > 0 and offset - part or offset + part
  end
elseif differs(offset) then
  if not moved or seen_before ~= (old[1] or '') or differs(moved) then
    return {clock + offset, offset, -2, old[1] or ''}
  end
  showed, offset = clock + offset, moved
elseif seen and not reckoned then
  if not alone then
    return {clock + offset, offset, -1, old[1]}
  end
  if passed < 0 then
    showed, offset = clock + offset, seen + offset - clock
  end
end

-- Where there is no store yet, somebody else is to make it.
if old[3] and (not seen or showed ~= 0 or passed < 0 or passed >= LOOKS_EVERY_MS) then
  redis.call('HSET', STORE,
    'clock_seen_ms', string.format('%.0f', clock), 'clock_offset_ms', string.format('%.0f', offset))
end
return {clock + offset, offset, showed, old[1] or ''}

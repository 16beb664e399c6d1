#!lua
-- Appends inputs to topics: of each append all, or none. And looks at seats, as they are at that moment.
--
-- KEYS  for each append its topic, and the room of each seat that it wants to see
-- ARGV  how many entries a topic may hold; for each append its deadline by Redis's clock (ms), how many inputs, how
--       many seats, input, input …, seat, seat …
-- Returns for each append 'done', 'late', 'full', or what went wrong, which leaves open whether it was made; behind 'done', for each seat where the
-- room ends and the seat, '' standing for nothing

local entries_max = tonumber(ARGV[1])
-- Not what time it was when this was sent: it may have been on its way for long (S6).
local time = redis.call('TIME')
local now_ms = time[1] * 1000 + math.floor(time[2] / 1000)

local lengths = {}

local function append(key, deadline, inputs, count, seats)
  local topic = KEYS[key]
  local length = lengths[topic] or redis.call('XLEN', topic)
  if now_ms > deadline then
    return {'late'}
  elseif length + count > entries_max then
    return {'full'}
  end
  for input = inputs, inputs + count - 1 do
    redis.call('XADD', topic, '*', 'input', ARGV[input])
  end
  lengths[topic] = length + count

  local outcome = {'done'}
  for seat = 1, seats do
    local found = redis.call('HMGET', KEYS[key + seat], 'end', ARGV[inputs + count - 1 + seat])
    outcome[2 * seat], outcome[2 * seat + 1] = found[1] or '', found[2] or ''
  end
  return outcome
end

-- What goes wrong with one is not the others' error.
local outcomes, key, at = {}, 1, 2
while key <= #KEYS do
  local deadline, count, seats = tonumber(ARGV[at]), tonumber(ARGV[at + 1]), tonumber(ARGV[at + 2])
  local ran, outcome = pcall(append, key, deadline, at + 3, count, seats)
  if not ran then
    outcome = {type(outcome) == 'table' and outcome.err or tostring(outcome)}
  end
  outcomes[#outcomes + 1] = outcome
  key, at = key + 1 + seats, at + 3 + count + seats
end
return outcomes

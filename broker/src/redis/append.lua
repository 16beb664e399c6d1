#!lua
-- Appends inputs to topics: of each append all, or none.
--
-- KEYS  a topic for each append
-- ARGV  how many entries a topic may hold; for each append its deadline (ms), how many inputs, input, input …
-- Returns for each append 'done', 'late', 'full', or what went wrong

local entries_max = tonumber(ARGV[1])
local time = redis.call('TIME')
local now_ms = time[1] * 1000 + math.floor(time[2] / 1000)

local lengths = {}

local function append(topic, deadline, first, count)
  local length = lengths[topic] or redis.call('XLEN', topic)
  if now_ms > deadline then
    return 'late'
  elseif length + count > entries_max then
    return 'full'
  end
  for input = first, first + count - 1 do
    redis.call('XADD', topic, '*', 'input', ARGV[input])
  end
  lengths[topic] = length + count
  return 'done'
end

-- What goes wrong with one is not the others' error.
local outcomes, at = {}, 2
for i, topic in ipairs(KEYS) do
  local deadline, count = tonumber(ARGV[at]), tonumber(ARGV[at + 1])
  local ran, outcome = pcall(append, topic, deadline, at + 2, count)
  outcomes[i] = ran and outcome or type(outcome) == 'table' and outcome.err or tostring(outcome)
  at = at + 2 + count
end
return outcomes

#!lua
-- Appends inputs to topics: of each append all, or none.
--
-- KEYS  a topic for each append
-- ARGV  how many entries a topic may hold; for each append its deadline (ms), how many inputs, input, input …
-- Returns for each append 'done', 'late', 'full', or why its topic cannot be read

local entries_max = tonumber(ARGV[1])
local time = redis.call('TIME')
local now_ms = time[1] * 1000 + math.floor(time[2] / 1000)

local outcomes, at = {}, 2
for i, topic in ipairs(KEYS) do
  local deadline, count = tonumber(ARGV[at]), tonumber(ARGV[at + 1])
  local first = at + 2
  at = first + count
  -- A topic that cannot be read is not the others' error.
  local length = redis.pcall('XLEN', topic)
  if now_ms > deadline then
    outcomes[i] = 'late'
  elseif type(length) == 'table' then
    outcomes[i] = length.err
  elseif length + count > entries_max then
    outcomes[i] = 'full'
  else
    for input = first, at - 1 do
      redis.call('XADD', topic, '*', 'input', ARGV[input])
    end
    outcomes[i] = 'done'
  end
end
return outcomes

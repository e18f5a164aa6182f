-- Read part of the parked agents, and what they can take, in no order.
--
-- Touches (reads): parked, parking.
-- Atomic because: both tell of the same agents.
-- ARGV[2…]: where to go on ('0' to begin), about how many. Returns where the next part begins ('0': this was the last), and
-- four values an agent: full JID, bare JID, jobs that it can take, since when.
--
-- Who is parked from the first part to the last one is in one of them, or in two.

local from, found = unpack(redis.call('HSCAN', PARKING, ARGV[2], 'COUNT', ARGV[3]))
local answer, young = {}, tonumber(after(-PARKED_FOR))
for i = 1, #found, 2 do
  local agent, slots = string.match(found[i + 1], '^(%S+) (%d+) ')
  local since = redis.call('ZSCORE', PARKED, found[i])
  if agent and since and tonumber(since) > young then
    for _, value in ipairs({found[i], agent, slots, since}) do
      answer[#answer + 1] = value
    end
  end
end
return {from, answer}

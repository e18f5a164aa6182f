-- Read part of the parked agents, and what they can take, in no order.
--
-- Touches (reads): parked, parking.
-- Atomic because: both tell of the same agents.
-- ARGV[2…]: where to go on ('0' to begin), about how many. Returns where the next part begins ('0': this was the last), the time, full JIDs
-- and since when they are parked by turns, and their entries of `parking`.
--
-- Who is parked from the first part to the last one is in one of them, or in two.

local from, found = unpack(redis.call('ZSCAN', PARKED, ARGV[2], 'COUNT', ARGV[3]))
local jids = {}
for i = 1, #found, 2 do
  jids[#jids + 1] = found[i]
end
return {from, now, found, #jids > 0 and redis.call('HMGET', PARKING, unpack(jids)) or {}}

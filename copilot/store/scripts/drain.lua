-- Somebody wants agents to leave.
--
-- Touches: draining, parked.
-- Atomic because: they are written in one step and one round trip.
-- ARGV[2…]: for how many seconds they are to be told, agents.

local till = after(tonumber(ARGV[2]))
for i = 3, #ARGV do
  redis.call('ZADD', DRAINING, till, ARGV[i])
end
hint_orders()
return #ARGV - 2

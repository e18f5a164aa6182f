-- Read the agents that somebody wants to leave, those that were named first first.
--
-- Touches: draining.
-- Atomic because: wishes that are too old go in the step in which the others are read.
-- ARGV[2…]: how many to leave out, how many to read. Returns agents.

redis.call('ZREMRANGEBYSCORE', DRAINING, '-inf', now)
local skip, limit = tonumber(ARGV[2]), tonumber(ARGV[3])
return redis.call('ZRANGE', DRAINING, skip, skip + limit - 1)

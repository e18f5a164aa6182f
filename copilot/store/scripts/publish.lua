-- The output of a settled job lies in its final place.
--
-- Touches: job:<id>, unpublished, events.
-- Atomic because: two instances may finish the same move, and the event must be written once.
-- ARGV[2]: job. Returns 1, or 0 if it was known before, or the job is not settled or has no output.

local id = ARGV[2]
if redis.call('ZREM', UNPUBLISHED, id) == 0 then
  return 0
end
local attempt, agent = unpack(redis.call('HMGET', JOB .. id, 'attempt', 'agent'))
redis.call('HSET', JOB .. id, 'published', '1')
event(id, 'published', attempt, agent, '', '')
return 1

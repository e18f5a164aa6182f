-- The finisher has taken the result of a settled job to its place.
--
-- Touches: job:<id>, array:<id>, package:<id>, unpublished, events.
-- Atomic because: two instances may finish the same move, and the event must be written once.
-- ARGV[2]: job. Returns 1, or 0 if it was known before, or the job is not settled. A job without output writes no event.

even_if_full()
local id = ARGV[2]
if redis.call('ZREM', UNPUBLISHED, id) == 0 then
  return 0
end
local attempt, agent, output, array = unpack(redis.call('HMGET', JOB .. id, 'attempt', 'agent', 'output', 'array'))
if array then
  redis.call('HINCRBY', ARRAY .. array, 'n:unpublished', -1)
end
redis.call('HSET', JOB .. id, 'published', '1')
redis.call('DEL', PACKAGE .. id)
if output then
  event(id, 'published', attempt, agent, '', '')
end
return 1

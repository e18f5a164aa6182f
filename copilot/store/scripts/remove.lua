-- Forget a job that is over and whose result its finisher has taken.
--
-- Touches: job:<id>, attempts:<id>, done, failed, cancelled.
-- Atomic because: it may be retried in the same moment, and must then stay whole.
-- ARGV[2]: job. Returns 1, or 0 if it stays or is not known.
--
-- Only a job that is over is published, and a retry takes that back (publish.lua, retry.lua).

local id = ARGV[2]
if not redis.call('HGET', JOB .. id, 'published') then
  return 0
end
redis.call('ZREM', DONE, id)
redis.call('ZREM', FAILED, id)
redis.call('ZREM', CANCELLED, id)
redis.call('DEL', JOB .. id, ATTEMPTS .. id)
return 1

-- Forget a job that is over and whose result its finisher has taken.
--
-- Touches: job:<id>, attempts:<id>, done, failed, cancelled, awaits:<id>, awaited:<done or over>:<id>.
-- Atomic because: it may be retried in the same moment, and must then stay whole.
-- ARGV[2]: job. Returns 1, or 0 if it stays or is not known.
--
-- Only a job that is over is published, and a retry takes that back (publish.lua, retry.lua). One for which others wait stays: it may be
-- retried, and they would wait for ever.

local id = ARGV[2]
if not redis.call('HGET', JOB .. id, 'published') or is_awaited(id) then
  return 0
end
end_waiting(id)
redis.call('ZREM', DONE, id)
redis.call('ZREM', FAILED, id)
redis.call('ZREM', CANCELLED, id)
redis.call('DEL', JOB .. id, ATTEMPTS .. id)
return 1

-- An attempt never began: the job goes back to its old place and the attempt does not count.
--
-- Touches: job:<id>, attempts:<id>, queue:<group>, running, done, failed, cancelled, cancelling, on-hold, unpublished,
-- delayed, events.
-- Atomic because: a job that was settled or claimed anew meanwhile must not get into the queue.
-- ARGV[2…]: job, attempt, cause. Returns 1, or 0 if the attempt does not hold the job.

even_if_full()
local id, attempt, cause = unpack(ARGV, 2)
local state, current, agent = unpack(redis.call('HMGET', JOB .. id, 'state', 'attempt', 'agent'))
if state ~= 'running' or current ~= attempt then
  return 0
end
hand_back(id, attempt, agent, cause, '')
return 1

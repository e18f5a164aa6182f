-- An attempt never began: the job goes back to its old place and the attempt does not count.
--
-- Touches: job:<id>, array:<id>, parts:<id>, in-ranges, queue:<group>, heads, plain-heads, seen, group:<group>, groups,
-- attributes, attempts:<id>, started, turns, in-use, running, done, failed, cancelled, cancelling, on-hold, blocked,
-- awaits:<id>, awaited:<done or over>:<id>, letting-in, delayed, unpublished, parked, owners, owners-running, events,
-- usage:<by>:<day>.
-- Atomic because: a job that was settled or claimed anew meanwhile must not get into the queue.
-- ARGV[2…]: job, attempt, cause. Returns the event that was written, as a flat list; nothing if the
-- attempt does not hold the job, or has begun after all: of two managers that gave it out, one may have heard nothing.

even_if_full()
local id, attempt, cause = unpack(ARGV, 2)
local state, current, agent, confirmed =
  unpack(redis.call('HMGET', JOB .. id, 'state', 'attempt', 'agent', 'confirmed'))
if state ~= 'running' or current ~= attempt or confirmed then
  return nil
end
return hand_back(id, attempt, agent, cause, '')

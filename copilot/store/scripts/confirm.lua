-- The agent has the job: the deadline moves from the dispatch to the end of the lease or, without one, the run time.
--
-- Touches: job:<id>, running, events.
-- Atomic because: between the look at the attempt and the new deadline the job may be reaped and claimed anew.
-- ARGV[2…]: job, attempt, seconds that the manager allows. The job's own limit counts if it is shorter.
-- Returns 1, or 0 if the attempt does not hold the job.

even_if_full()
local id, attempt, allowed = unpack(ARGV, 2)
local state, current, agent, confirmed, own, suspected, lease = unpack(redis.call('HMGET', JOB .. id,
  'state', 'attempt', 'agent', 'confirmed', 'max_run_time', 'suspected', 'lease'))
if state ~= 'running' or current ~= attempt then
  return 0
end
if not confirmed then
  local seconds = tonumber(lease) or math.min(tonumber(allowed), tonumber(own) or math.huge)
  redis.call('HSET', JOB .. id, 'confirmed', now)
  if suspected ~= attempt then
    redis.call('ZADD', RUNNING, after(seconds), id)
  end
  event(id, 'running', attempt, agent, '', '')
end
return 1

-- Somebody wants a job to end.
--
-- Touches: job:<id>, queue:<group>, heads, plain-heads, seen, group:<group>, groups, attributes, attempts:<id>, started,
-- turns, in-use, running, done, failed, cancelled, cancelling, on-hold, blocked, awaits:<id>, awaited:<done or over>:<id>,
-- letting-in, delayed, unpublished, parked, owners, owners-running, events.
-- Atomic because: a job that is claimed, or whose report comes, in the same moment must either end or be told to.
-- ARGV[2…]: job, the outcome if it is over at once or its attempt ends without a report, text.
-- Returns whether that changed anything, and the state after it ('' if unknown).
--
-- A running job goes on until its agent has stopped it, reports, or loses its lease; whatever ends first counts.

even_if_full()
local id, outcome, text = unpack(ARGV, 2)
local state, attempt, agent, cancel = unpack(redis.call('HMGET', JOB .. id, 'state', 'attempt', 'agent', 'cancel'))
if state == 'waiting' or state == 'held' or state == 'blocked' then
  settle(id, attempt, agent, 'cancelled', outcome, '', text)
  return {1, 'cancelled'}
elseif state == 'running' and not cancel then
  redis.call('HSET', JOB .. id, 'cancel', outcome)
  redis.call('ZADD', CANCELLING, now, id)
  hint_orders()
  event(id, 'cancelling', attempt, agent, '', text)
  return {1, state}
end
return {0, state or ''}

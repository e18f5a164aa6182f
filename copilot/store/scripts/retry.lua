-- Have a job that failed or was cancelled run once more, with all its attempts.
--
-- Touches: job:<id>, queue:<group>, heads, plain-heads, seen, group:<group>, groups, attributes, started, turns, in-use,
-- failed, cancelled, blocked, awaits:<id>, delayed, parked, owners, owners-running, events.
-- Atomic because: it must leave the one index and enter the other in one step.
-- ARGV[2…]: job, text. Returns whether that changed anything, and the state after it ('' if unknown).
--
-- Not before its finisher has taken the result: that would be given the next one as if it were the first.

local id, text = unpack(ARGV, 2)
local state, attempt, agent, published = unpack(redis.call('HMGET', JOB .. id, 'state', 'attempt', 'agent', 'published'))
if (state ~= 'failed' and state ~= 'cancelled') or not published then
  return {0, state or ''}
end
redis.call('ZREM', FAILED, id)
redis.call('ZREM', CANCELLED, id)
redis.call('HDEL', JOB .. id, 'outcome', 'output', 'finished', 'published', 'cancel', 'suspected',
  'hand_backs', 'user_failures', 'failed_at', 'struck')
redis.call('HSET', JOB .. id, 'attempts_used', 0)
state = put_back_in_line(id)
event(id, 'retried', attempt, agent, '', text)
return {1, state}

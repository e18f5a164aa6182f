-- Keep a waiting or blocked job out of the queue until it is released.
--
-- Touches: job:<id>, queue:<group>, heads, plain-heads, seen, group:<group>, attributes, started, turns, in-use, on-hold,
-- blocked, delayed, owners, owners-running, events.
-- Atomic because: it may be claimed in the same moment, and must not be both.
-- ARGV[2…]: job, text. Returns whether that changed anything, and the state after it ('' if unknown).

local id, text = unpack(ARGV, 2)
local state, attempt, agent = unpack(redis.call('HMGET', JOB .. id, 'state', 'attempt', 'agent'))
if state == 'waiting' then
  leave_queue(id)
elseif state == 'blocked' then
  redis.call('ZREM', BLOCKED, id)
else
  return {0, state or ''}
end
enter_state(id, 'held')
redis.call('ZADD', ON_HOLD, now, id)
event(id, 'held', attempt, agent, '', text)
return {1, 'held'}

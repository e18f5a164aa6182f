-- Let a held job wait again, at its old place.
--
-- Touches: job:<id>, queue:<group>, heads, plain-heads, seen, group:<group>, groups, attributes, started, turns, in-use, on-hold,
-- delayed, parked, owners, owners-running, events.
-- Atomic because: it may be cancelled in the same moment.
-- ARGV[2…]: job, text. Returns whether that changed anything, and the state after it ('' if unknown).

local id, text = unpack(ARGV, 2)
local state, attempt, agent = unpack(redis.call('HMGET', JOB .. id, 'state', 'attempt', 'agent'))
if state ~= 'held' then
  return {0, state or ''}
end
redis.call('ZREM', ON_HOLD, id)
put_in_queue(id)
event(id, 'released', attempt, agent, '', text)
return {1, 'waiting'}

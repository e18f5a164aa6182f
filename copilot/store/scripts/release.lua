-- Let a held job wait again, at its old place; or for others, if it did. One that waits for others waits for none any more.
--
-- Touches: job:<id>, queue:<group>, heads, plain-heads, seen, group:<group>, groups, attributes, started, turns, in-use,
-- on-hold, blocked, awaits:<id>, awaited:<done or over>:<id>, delayed, parked, owners, owners-running, events.
-- Atomic because: it may be cancelled in the same moment.
-- ARGV[2…]: job, text. Returns whether that changed anything, and the state after it ('' if unknown).

local id, text = unpack(ARGV, 2)
local state, attempt, agent = unpack(redis.call('HMGET', JOB .. id, 'state', 'attempt', 'agent'))
if state == 'held' then
  redis.call('ZREM', ON_HOLD, id)
elseif state == 'blocked' then
  redis.call('ZREM', BLOCKED, id)
  end_waiting(id)
else
  return {0, state or ''}
end
state = put_back_in_line(id)
event(id, 'released', attempt, agent, '', text)
return {1, state}

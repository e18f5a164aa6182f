-- Somebody knows that an agent is well: end its quarantine, and forget the failures that led there.
--
-- Touches: failing, trials, set-aside, parked, events.
-- Atomic because: a failure that is counted in the same moment must not bring half of the old ones back.
-- ARGV[2…]: agent, text. Returns 1, or 0 if nothing was held against the agent.

local agent, text = unpack(ARGV, 2)
if end_trial(agent) + redis.call('HDEL', SET_ASIDE, agent) == 0 then
  return 0
end
event('', 'released', '0', agent, '', text)
hint()
return 1

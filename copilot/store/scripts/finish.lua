-- Take the report of an attempt: the job is done, has failed, or runs once more.
--
-- Touches: job:<id>, array:<id>, parts:<id>, in-ranges, queue:<group>, heads, plain-heads, seen, group:<group>, groups,
-- attributes, attempts:<id>, package:<id>, started, turns, in-use, running, done, failed, cancelled, cancelling, on-hold,
-- blocked, awaits:<id>, awaited:<done or over>:<id>, letting-in, delayed, agents, failing, trials, unpublished, parked,
-- owners, owners-running, events, usage:<by>:<day>.
-- Atomic because: a report may come twice, by two instances, or while the attempt is being reaped; exactly one of
-- all that may decide.
-- ARGV[2…]: job, attempt, cause, outcome, output ('' for none), text, the packed output in base64 ('' if it is elsewhere).
-- Returns the verdict and the state after it ('' if unknown); of an accepted report then the events that were written,
-- as flat lists, and, if it has ended the job, all fields of its hash as a flat list.
--
-- Fencing: `attempt` in the record is the number of the last claim.
--   * Another number than that: somebody claimed the job later (or never did): stale.
--   * That number, and `settled` is the same: the end of this attempt is known already: repeated. `settled` is set
--     by the report that is accepted, whether the job is over or waits again, and by the reaper when it lets
--     the job fail. A new claim makes the number grow, so the same report is stale from then on.
--   * That number, running: the usual case.
--   * That number, waiting: the attempt was handed back or reaped, but nobody has claimed the job since, so nobody
--     else can have it and the result is real: accepted, and the job leaves the queue. If it had been handed
--     back it did begin after all, so now it counts.

even_if_full()
--
-- The prefix of the cause says whose fault it was. What the infrastructure did (`infra-…`) and what the payload did by
-- itself (`user-…`) are counted apart; of any other end there is no second try.

local id, attempt, cause, outcome, output, text, package = unpack(ARGV, 2)
local state, current, settled, handed_back, agent, most, most_of_user, confirmed = unpack(redis.call('HMGET',
  JOB .. id, 'state', 'attempt', 'settled', 'handed_back', 'agent', 'max_attempts', 'max_user_attempts', 'confirmed'))
if not state then
  return {'unknown', ''}
end
if current ~= attempt or attempt == '0' then
  return {'stale', state}
end
if settled == attempt then
  return {'repeated', state}
end
local written = {}
if state == 'running' and not confirmed then -- the report came with, or before, the word that the agent has the job
  written[1] = event(id, 'running', attempt, agent, '', '')
end
if handed_back == attempt then
  redis.call('HINCRBY', JOB .. id, 'attempts_used', 1)
end
local fault, again = string.match(cause, '^%a+'), false
if fault == 'infra' then
  again = tonumber(redis.call('HGET', JOB .. id, 'attempts_used')) < tonumber(most)
elseif fault == 'user' then
  again = redis.call('HINCRBY', JOB .. id, 'user_failures', 1) < tonumber(most_of_user)
  if again then
    redis.call('HINCRBY', JOB .. id, 'attempts_used', -1)
  end
end
charge(id, attempt, agent, cause, outcome, not again)
if again then
  redis.call('HSET', JOB .. id, 'settled', attempt)
  written[#written + 1] = requeue(id, attempt, agent, cause, outcome, text)
else
  written[#written + 1] = settle(id, attempt, agent, cause, outcome, output, text)
end
written[#written + 1] = judge(id, agent, cause)
state = redis.call('HGET', JOB .. id, 'state')
if state == 'waiting' or state == 'held' then
  return {'accepted', state, written}
end
if package ~= '' and redis.call('HEXISTS', JOB .. id, 'output') == 1 then -- it may have been cancelled instead
  redis.call('SET', PACKAGE .. id, package)
end
return {'accepted', state, written, redis.call('HGETALL', JOB .. id)}

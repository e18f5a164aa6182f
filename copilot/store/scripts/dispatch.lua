-- Give waiting jobs to agents that are parked, those that have waited for longest first.
--
-- Touches: parked, parking, queue:<group>, job:<id>, running, delayed, agents, trials, events.
-- Atomic because: all instances do this at the same moment, and each job and each free slot must be given once.
-- ARGV[2…]: seconds to confirm, most jobs, group.
-- Returns six values a job: full JID of the agent, its features, spec, attempt, time of the claim, lease ('' for none).

even_if_full()
local MOST_PARKED_LOOKED_AT = 1000
local limit, most, group = unpack(ARGV, 2)
local left, answer = tonumber(most), {}
end_parking()
if redis.call('EXISTS', PARKED) == 0 then
  return answer
end
end_delays()
for _, jid in ipairs(redis.call('ZRANGE', PARKED, 0, MOST_PARKED_LOOKED_AT - 1)) do
  if left == 0 or redis.call('EXISTS', QUEUE .. group) == 0 then
    break
  end
  local agent, slots, lease, features = string.match(redis.call('HGET', PARKING, jid), '^(%S+) (%d+) (%S+) (.*)$')
  lease = lease == '-' and '' or lease
  local given = claim_jobs(agent, math.min(tonumber(slots), left), group, lease, tonumber(limit))
  for _, one in ipairs(given) do
    answer[#answer + 1] = jid
    answer[#answer + 1] = features
    append_job(answer, unpack(one))
  end
  left = left - #given
  if #given == tonumber(slots) then
    unpark(jid)
  elseif #given > 0 then
    local rest = string.format('%s %d %s %s', agent, tonumber(slots) - #given, lease == '' and '-' or lease, features)
    redis.call('HSET', PARKING, jid, rest)
  end
end
return answer

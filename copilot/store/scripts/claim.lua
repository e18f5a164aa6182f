-- Give the first waiting jobs of a group to an agent: as many as it wants, none if it is in quarantine (trial.lua).
--
-- Touches: request:<digest>, held:<digest>, queue:<group>, job:<id>, running, delayed, agents, trials, parked, parking,
-- events.
-- Atomic because: a job must leave the queue and get its holder in one step, or two agents get it or none does;
-- of two copies of one request, handled by two instances, the second must see what the first was given; and a job that
-- comes between a look at the queue and the parking of the agent would wait although there is somebody for it.
-- ARGV[2…]: agent, digest of the request, seconds to confirm, how many, group, seconds to remember the request,
-- digest of the full JID of an agent that takes one job at a time ('' for others), seconds to remember what it holds,
-- the lease in seconds ('' for an agent that renews none: it cannot keep the promise of an exclusive job, and gets none),
-- the full JID under which the agent is parked for what it did not get ('' for one that is not to be), its features.
-- Returns five values a job: spec, attempt, time of the claim, the lease, '1' if the request had got it before.
--
-- A request that was given nothing is not remembered: its copy may find what has come meanwhile.

even_if_full()
local agent, digest, limit, count, group, memory, holder, held_memory, lease, jid, features = unpack(ARGV, 2)
local answer = {}

local remembered = redis.call('GET', REQUEST .. digest)
if remembered and tonumber(now) - tonumber(string.match(remembered, '^%S+')) < tonumber(memory) then
  for id, attempt in string.gmatch(remembered, ' (%S+):(%d+)') do
    local state, current = unpack(redis.call('HMGET', JOB .. id, 'state', 'attempt'))
    if state == 'running' and current == attempt then
      append_job(answer, id, attempt)
      answer[#answer + 1] = '1'
    end
  end
  return answer
end

end_delays()
local given = {now}
for _, one in ipairs(claim_jobs(agent, tonumber(count), group, lease, tonumber(limit))) do
  local id, attempt = unpack(one)
  if holder ~= '' then
    redis.call('SADD', HELD .. holder, id .. ':' .. attempt)
    redis.call('EXPIRE', HELD .. holder, held_memory)
  end
  append_job(answer, id, attempt)
  answer[#answer + 1] = ''
  given[#given + 1] = id .. ':' .. attempt
end
if #given > 1 then
  redis.call('SET', REQUEST .. digest, table.concat(given, ' '), 'EX', memory)
end
if jid ~= '' then
  park(jid, agent, tonumber(count) - (#given - 1), lease, features)
end
return answer

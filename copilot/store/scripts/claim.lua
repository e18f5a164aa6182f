-- Give the first waiting jobs that match its host to an agent: as many as it wants, none if it is in quarantine (trial.lua).
--
-- Touches: job:<id>, array:<id>, parts:<id>, in-ranges, queue:<group>, heads, plain-heads, seen, group:<group>, groups,
-- attributes, matches:<class>:<page>, ranks:<class>:<page>, host:<digest>, request:<digest>, held:<digest>, started, turns, shares, in-use,
-- passed-over, running, draining, delayed, agents, trials, parked, parking, owners, owners-running, events, accounts, hosts, paused,
-- set-aside.
-- Atomic because: a job must leave the queue and get its holder in one step, or two agents get it or none does;
-- of two copies of one request, handled by two instances, the second must see what the first was given; and a job that
-- comes between a look at the queue and the parking of the agent would wait although there is somebody for it.
-- ARGV[2…]: agent, digest of the request, seconds to confirm, how many, seconds to remember the request,
-- digest of the full JID of an agent that takes one job at a time ('' for others), seconds to remember what it holds,
-- the lease in seconds ('' for an agent that renews none: it cannot keep the promise of an exclusive job, and gets none),
-- the full JID under which the agent is parked for what it did not get ('' for one that is not to be), its features;
-- then of its host: the digest under which it is remembered ('' for not at all), what it says of itself ('' for what it
-- said last), seconds to remember that, the attributes that its class was made from, the class ('' for not known);
-- verdicts on that (matching.lua), how many groups may be asked about, how many jobs the request was given already,
-- before we had asked; what the agent has free (packing.lua); and the full JID under which it is known who was there (hosts.lua), ''
-- for none, with its digest.
-- Returns seven values a job: spec, attempt, time of the claim, the lease, time of the submission, cores, '1' if the request had got it
-- before; what is free then; and, if there is one, a question (matching.lua): then the agent gets what is missing when this is called with
-- the answer.
--
-- Who was revoked gets nothing, whatever the manager that asks for him knows.
-- A request that was given nothing is not remembered: its copy may find what has come meanwhile.

even_if_full()
local agent, digest, limit, count, memory, holder, held_memory, lease, jid, features = unpack(ARGV, 2, 11)
local host_digest, jdl, host_memory, names, class, verdicts, most, before, said_free, known_as, known_digest = unpack(ARGV, 12)
local answer, free = {}, read_free(said_free, tonumber(count))

if not may_have_jobs(agent) then
  return {answer, '', {}}
end
local remembered = redis.call('GET', REQUEST .. digest)
if remembered and tonumber(now) - tonumber(string.match(remembered, '^%S+')) >= tonumber(memory) then
  remembered = nil
end
if remembered and before == '0' then
  for id, attempt in string.gmatch(remembered, ' (%S+):(%d+)') do
    local state, current = unpack(redis.call('HMGET', JOB .. id, 'state', 'attempt'))
    if state == 'running' and current == attempt then
      append_job(answer, id, attempt)
      answer[#answer + 1] = '1'
    end
  end
  return {answer, '', {}}
end

end_delays()
mind_older()
note_verdicts(class, verdicts)
local host = look_at(names, class, tonumber(most), host_digest, jid ~= '' and jid or agent)
local function ask()
  local said = jdl ~= '' and jdl or host_digest ~= '' and redis.call('GET', HOST .. host_digest) or ''
  return question(host, said)
end
if host.stale then
  return {answer, write_free(free), ask()}
end

local given = {remembered or now}
local claimed = claim_jobs(agent, host, tonumber(count), lease, tonumber(limit), free)
for _, job in ipairs(claimed) do
  local name = job.id .. ':' .. job.attempt
  if holder ~= '' then
    redis.call('SADD', HELD .. holder, name)
    redis.call('EXPIRE', HELD .. holder, held_memory)
  end
  append_claimed(answer, job, lease)
  answer[#answer + 1] = ''
  given[#given + 1] = name
end
if #claimed > 0 then
  redis.call('SET', REQUEST .. digest, table.concat(given, ' '), 'EX', memory)
end
if #host.unknown > 0 then
  return {answer, write_free(free), ask()}
end
if jid ~= '' then
  park(jid, {
    agent = agent, slots = tonumber(count) - #claimed, lease = lease, host = host_digest, class = class, names = names,
    features = features, free = free,
  })
end
if known_as ~= '' then
  note_time(HOSTS, known_as)
end
if known_digest ~= '' and jdl ~= '' then
  redis.call('SET', HOST .. known_digest, jdl, 'EX', host_memory)
elseif host_digest ~= '' then
  redis.call('EXPIRE', HOST .. host_digest, host_memory)
end
return {answer, '', {}}

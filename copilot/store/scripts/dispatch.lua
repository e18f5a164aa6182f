-- Give waiting jobs to agents that are parked, those that have waited for longest first; a job with a rank to the one that it prefers
-- among those that could have it now (ranking.lua).
--
-- Touches: job:<id>, array:<id>, parts:<id>, in-ranges, queue:<group>, heads, plain-heads, seen, group:<group>, groups,
-- attributes, matches:<class>:<page>, ranks:<class>:<page>, host:<digest>, request:<digest>, started, turns, shares, in-use, passed-over,
-- running, draining, delayed, agents, trials, parked, parking, owners, owners-running, events, accounts, hosts, paused, set-aside.
-- Atomic because: all instances do this at the same moment, and each job and each free slot must be given once.
-- ARGV[2…]: seconds to confirm, most jobs, how many parked agents to leave out, how many groups may be asked about, digest of
-- this call, by which it is known if it comes again, '1' if a job with a rank waits for what is asked; then answers, four values each: full JID, attributes, class, verdicts
-- (matching.lua).
-- Returns eight values a job: full JID of the agent, its features, spec, attempt, time of the claim, lease ('' for none), time
-- of the submission, cores;
-- questions, each after the full JID that it is about; and how many agents to leave out when it goes on: those that were
-- looked at and are still parked, 0 when there is nothing more to do.

even_if_full()
local MOST_PARKED_LOOKED_AT = 1000
local MOST_RANKED = 20000 -- looks at agents for jobs with a rank; then they go as others do
local DEEPEST = 8 -- agents that an agent is asked to wait for, one after the other
local MOST_HEADS_LOOKED_AT = 50000
local REMEMBERED_FOR = 60
local limit, digest = ARGV[2], ARGV[6]
local left, skip, may_ask, answer, questions = tonumber(ARGV[3]), tonumber(ARGV[4]), tonumber(ARGV[5]), {}, {}

-- Redis may have died after this, and before the answer was read: the very same call again gets the same jobs again.
for jid, id, attempt, features in string.gmatch(redis.call('GET', REQUEST .. digest) or '', '([^\t]+)\t([^\t]+)\t(%d+)\t([^\n]*)\n') do
  local state, current, confirmed = unpack(redis.call('HMGET', JOB .. id, 'state', 'attempt', 'confirmed'))
  if state == 'running' and current == attempt and not confirmed then
    answer[#answer + 1] = jid
    answer[#answer + 1] = features
    append_job(answer, id, attempt)
  end
end
if #answer > 0 then
  return {answer, {}, 0}
end
local remembered = {}

end_parking()
if redis.call('EXISTS', PARKED) == 0 or is_paused('dispatch') then
  return {answer, questions, 0}
end
end_delays()
mind_older()
for i = 8, #ARGV, 4 do
  local jid, names, class, verdicts = unpack(ARGV, i, i + 3)
  local known = redis.call('HGET', PARKING, jid)
  note_verdicts(class, verdicts)
  local one = read_parked(known or '')
  if one then
    one.names, one.class = names, class
    write_parked(jid, one)
  end
end

local jids = redis.call('ZRANGE', PARKED, skip, skip + MOST_PARKED_LOOKED_AT - 1)
local nothing_for, looked_at, jobs_wait, heads_looked_at = {}, 0, anything_waits(), 0
local parked, asked, place, rankings, ranked, may_wait = {}, {}, {}, {}, 0, ARGV[7] == '1' and may_ask or 0

-- What is known of a parked agent; false if it is not parked any more.
local function read_one(jid)
  if parked[jid] == nil then
    parked[jid] = read_parked(redis.call('HGET', PARKING, jid) or '') or false
  end
  return parked[jid]
end

-- The same of all of them.
local function read_all()
  for i, text in ipairs(redis.call('HMGET', PARKING, unpack(jids))) do
    if parked[jids[i]] == nil then
      parked[jids[i]] = read_parked(text or '') or false
    end
  end
end

local function ask(jid, host)
  if asked[jid] then
    return
  end
  asked[jid] = true
  local one = parked[jid]
  local words = question(host, one.host ~= '' and redis.call('GET', HOST .. one.host) or '')
  may_ask = may_ask - math.max(#host.unknown, 1)
  questions[#questions + 1] = {jid, words}
end

-- The agent as jobs with a rank see it.
local function candidate(jid)
  local one = parked[jid]
  return one and look_at(one.names, one.class, may_wait, one.host, jid)
end

-- The agents for the jobs of a queue that have a rank. As long as some of them are not known and may be asked about, there is none.
local function ranking_for(queue)
  if ranked >= MOST_RANKED then
    return {order = {}, scores = {}, at = 1}
  elseif ranked == 0 then
    read_all()
  end
  ranked = ranked + #jids
  local ranking = rank_agents(jids, candidate, queue.number)
  if may_wait > 0 then
    for _, jid in ipairs(ranking.unknown) do
      local host = candidate(jid)
      if may_ask > 0 then
        host.unknown = host.stale and {} or {queue.group}
        ask(jid, host)
      end
    end
    ranking.waits = #ranking.unknown > 0
  end
  return ranking
end

-- Whether the jobs of a queue, which this agent could have, are for another one: `host.ranking` then, of which that is the first.
local function prefers_other(jid, host, queue)
  local ranking = rankings[queue.group] or ranking_for(queue)
  rankings[queue.group], host.ranking = ranking, ranking
  if ranking.waits then
    return true
  end
  while ranking.at <= #ranking.order do
    local other = ranking.order[ranking.at]
    if ranking.scores[other] <= (ranking.scores[jid] or 0) then
      break
    elseif parked[other] and fits(parked[other].free, queue.request) == NOW and may_have_jobs(parked[other].agent) then
      return true
    end
    ranking.at = ranking.at + 1 -- it has less and less free
  end
  host.ranking = nil
  return false
end

-- Give an agent (as it is looked at, if it was already) at most so many jobs. Returns how many it got, whether there is nothing more for
-- such a host, and the ranking that has an agent before it whose job is next.
local function give(jid, count, depth, host)
  local one = parked[jid]
  host = host or look_at(one.names, one.class, may_ask, one.host, jid)
  host.prefers_other = depth < DEEPEST and function(queue)
    return prefers_other(jid, host, queue)
  end
  local given, dry = claim_jobs(one.agent, host, math.min(one.slots, left, count), one.lease, tonumber(limit), one.free)
  heads_looked_at = heads_looked_at + host.looked_at
  for _, job in ipairs(given) do
    answer[#answer + 1] = jid
    answer[#answer + 1] = one.features
    append_claimed(answer, job, one.lease)
    remembered[#remembered + 1] = string.format('%s\t%s\t%s\t%s\n', jid, job.id, job.attempt, one.features)
  end
  left = left - #given
  if #host.unknown > 0 then
    ask(jid, host)
  end
  if #given == one.slots then
    unpark(jid)
    parked[jid] = false
    looked_at = looked_at - (place[jid] and 1 or 0)
  elseif #given > 0 then
    one.slots = one.slots - #given
    write_parked(jid, one)
  end
  return #given, dry, host.ranking
end

-- The same; and where a job that comes first is for another agent, that one is given a job before. Returns also whether all of this
-- has to wait for answers.
local function offer(jid, count, depth, host)
  local total = 0
  while true do
    local number, dry, ranking = give(jid, count - total, depth, host)
    host = nil
    total = total + number
    if ranking and ranking.waits then
      return total, dry, true
    elseif not ranking or left == 0 or total == count or not parked[jid] or heads_looked_at > MOST_HEADS_LOOKED_AT then
      return total, dry, false
    end
    local theirs, _, waits = offer(ranking.order[ranking.at], 1, depth + 1)
    if waits then
      return total, dry, true
    elseif theirs == 0 then
      ranking.at = ranking.at + 1 -- that one gets no jobs now, or not these
    end
    if not parked[jid] or left == 0 then
      return total, dry, false
    end
  end
end

for _, jid in ipairs(jids) do
  if left == 0 or not jobs_wait or heads_looked_at > MOST_HEADS_LOOKED_AT then
    break
  end
  looked_at = looked_at + 1
  place[jid] = true
  local one = read_one(jid)
  local host = one and look_at(one.names, one.class, may_ask, one.host, jid)
  local kind = one and table.concat({host.class, one.lease == '' and '-' or '', host.picky and '!' or '', write_free(one.free)}, ' ')
  if not one or not may_have_jobs(one.agent) then
    unpark(jid)
    parked[jid] = false
    looked_at = looked_at - 1
  elseif host.stale then
    ask(jid, host)
  elseif not nothing_for[kind] then
    local given, dry = offer(jid, one.slots, 0, host)
    nothing_for[kind] = dry and given == 0
    jobs_wait = given == 0 or anything_waits()
  end
end
if #remembered > 0 then
  redis.call('SET', REQUEST .. digest, table.concat(remembered), 'EX', REMEMBERED_FOR)
end
skip = skip + looked_at
return {answer, questions, jobs_wait and skip < redis.call('ZCARD', PARKED) and skip or 0}

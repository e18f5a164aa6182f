-- Give waiting jobs to agents that are parked, those that have waited for longest first.
--
-- Touches: job:<id>, array:<id>, parts:<id>, in-ranges, queue:<group>, heads, plain-heads, seen, group:<group>, groups,
-- attributes, matches:<class>:<page>, host:<digest>, request:<digest>, started, turns, shares, in-use, passed-over,
-- running, delayed, agents, trials, parked, parking, owners, owners-running, events, accounts, paused, set-aside.
-- Atomic because: all instances do this at the same moment, and each job and each free slot must be given once.
-- ARGV[2…]: seconds to confirm, most jobs, how many parked agents to leave out, how many groups may be asked about, digest of
-- this call, by which it is known if it comes again; then answers, four values each: full JID, attributes, class, verdicts
-- (matching.lua).
-- Returns eight values a job: full JID of the agent, its features, spec, attempt, time of the claim, lease ('' for none), time
-- of the submission, cores;
-- questions, each after the full JID that it is about; and how many agents to leave out when it goes on: those that were
-- looked at and are still parked, 0 when there is nothing more to do.

even_if_full()
local MOST_PARKED_LOOKED_AT = 1000
local MOST_HEADS_LOOKED_AT = 50000
local REMEMBERED_FOR = 60
local limit, most, from, most_asked, digest = unpack(ARGV, 2, 6)
local left, skip, may_ask, answer, questions = tonumber(most), tonumber(from), tonumber(most_asked), {}, {}

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
for i = 7, #ARGV, 4 do
  local jid, names, class, verdicts = unpack(ARGV, i, i + 3)
  local known = redis.call('HGET', PARKING, jid)
  note_verdicts(class, verdicts)
  local one = read_parked(known or '')
  if one then
    one.names, one.class = names, class
    write_parked(jid, one)
  end
end

local function ask(jid, one, host)
  local words = question(host, one.host ~= '' and redis.call('GET', HOST .. one.host) or '')
  may_ask = may_ask - math.max(#host.unknown, 1)
  questions[#questions + 1] = {jid, words}
end

local jids = redis.call('ZRANGE', PARKED, skip, skip + MOST_PARKED_LOOKED_AT - 1)
local nothing_for, looked_at, jobs_wait, heads_looked_at = {}, 0, anything_waits(), 0
for _, jid in ipairs(jids) do
  if left == 0 or not jobs_wait or heads_looked_at > MOST_HEADS_LOOKED_AT then
    break
  end
  looked_at = looked_at + 1
  local one = read_parked(redis.call('HGET', PARKING, jid) or '')
  one = one and may_have_jobs(one.agent) and one
  local host = one and look_at(one.names, one.class, may_ask, one.host, jid)
  local kind = one and table.concat({host.class, one.lease == '' and '-' or '', host.picky and '!' or '', write_free(one.free)}, ' ')
  if not one then
    unpark(jid)
    looked_at = looked_at - 1
  elseif host.stale then
    ask(jid, one, host)
  elseif not nothing_for[kind] then
    local given, dry = claim_jobs(one.agent, host, math.min(one.slots, left), one.lease, tonumber(limit), one.free)
    heads_looked_at = heads_looked_at + host.looked_at
    nothing_for[kind] = dry
    for _, job in ipairs(given) do
      answer[#answer + 1] = jid
      answer[#answer + 1] = one.features
      append_claimed(answer, job, one.lease)
      remembered[#remembered + 1] = string.format('%s\t%s\t%s\t%s\n', jid, job.id, job.attempt, one.features)
    end
    left = left - #given
    if #host.unknown > 0 then
      ask(jid, one, host)
    end
    if #given == one.slots then
      unpark(jid)
      looked_at = looked_at - 1
    elseif #given > 0 then
      one.slots = one.slots - #given
      write_parked(jid, one)
    end
    jobs_wait = #given == 0 or anything_waits()
  end
end
if #remembered > 0 then
  redis.call('SET', REQUEST .. digest, table.concat(remembered), 'EX', REMEMBERED_FOR)
end
skip = skip + looked_at
return {answer, questions, jobs_wait and skip < redis.call('ZCARD', PARKED) and skip or 0}

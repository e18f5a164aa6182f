-- Agents on trial: those at which jobs keep failing get none for a while. The loader puts it in front of the scripts that use it.
--
-- What counts against an agent (a strike): an attempt that ends by the fault of the infrastructure, at any time, or
-- otherwise without success within QUICK seconds of its start. A success clears it.
--   * Strikes are counted by jobs: one job, however often it fails there, is one strike.
--   * A job that has failed at SEVERAL agents is at fault itself: its failures count against none of them.
--   * If more than half of the agents that had jobs lately fail quickly, their jobs are bad, and quick failures of
--     payloads count against nobody: one user's thousand broken jobs must not stop the others' good ones. (Failures
--     of the infrastructure do count then: if it is down, jobs had better wait than use up their attempts.)
-- With STRIKES an agent is in quarantine: `claim` gives it nothing for FIRST_QUARANTINE seconds. After that it gets one
-- job at a time as a probe; if that earns a strike, the next quarantine is twice as long, up to LONGEST_QUARANTINE.
-- A job that has earned a strike is left to other agents, if there are any, for LEFT_TO_OTHERS seconds: an agent that
-- fails at once would also be the first to ask for it again.
--
-- `trials` holds a line for each agent with strikes: how many quarantines in a row, the end of the last one, the probe
-- ('-' for none), and the jobs that count.

local QUICK = 10
local STRIKES = 3
local SEVERAL = 3
local FIRST_QUARANTINE = 60
local LONGEST_QUARANTINE = 3600
local LEFT_TO_OTHERS = 15
local LATELY = 600
local AGENTS_MEMORY = 86400
local TRIAL_MEMORY = 7200

local function read_trial(agent)
  local words = {}
  for word in string.gmatch(redis.call('HGET', TRIALS, agent) or '0 0 -', '%S+') do
    words[#words + 1] = word
  end
  return {level = tonumber(words[1]), ends = words[2], probe = words[3], jobs = {unpack(words, 4)}}
end

local function write_trial(agent, trial)
  local jobs = table.concat(trial.jobs, ' ')
  redis.call('HSET', TRIALS, agent, string.format('%d %s %s %s', trial.level, trial.ends, trial.probe, jobs))
  redis.call('EXPIRE', TRIALS, TRIAL_MEMORY)
end

local function end_trial(agent)
  redis.call('ZREM', FAILING, agent)
  return redis.call('HDEL', TRIALS, agent)
end

-- How many jobs an agent may get now that asks for so many.
local function allowance(agent, count)
  local trial = read_trial(agent)
  if trial.level == 0 then
    return count
  end
  local id, attempt = string.match(trial.probe, '^(.*):(%d+)$')
  if id then
    local state, current = unpack(redis.call('HMGET', JOB .. id, 'state', 'attempt'))
    if state == 'running' and current == attempt then
      return 0
    end
  end
  return tonumber(trial.ends) <= tonumber(now) and 1 or 0
end

-- An agent was given jobs, this attempt (`<id>:<attempt>`) first.
local function note_claim(agent, first)
  redis.call('ZREMRANGEBYSCORE', AGENTS, '-inf', after(-AGENTS_MEMORY))
  redis.call('ZADD', AGENTS, now, agent)
  redis.call('EXPIRE', AGENTS, AGENTS_MEMORY)
  local trial = read_trial(agent)
  if trial.level > 0 then
    trial.probe = first
    write_trial(agent, trial)
  end
end

-- Whether a job had better go to another agent; `places` and `struck` are `failed_at` and `struck` of its record.
local function is_for_others(places, struck, agent)
  return places and string.find(' ' .. places .. ' ', ' ' .. agent .. ' ', 1, true)
    and tonumber(struck) + LEFT_TO_OTHERS > tonumber(now) and redis.call('ZCARD', AGENTS) > 1
end

-- A job has failed at an agent: note that, and return all agents at which it has.
local function places_of_failure(id, agent)
  local places = redis.call('HGET', JOB .. id, 'failed_at') or ''
  if not string.find(' ' .. places .. ' ', ' ' .. agent .. ' ', 1, true) then
    places = places == '' and agent or places .. ' ' .. agent
  end
  redis.call('HSET', JOB .. id, 'failed_at', places, 'struck', now)
  local list = {}
  for place in string.gmatch(places, '%S+') do
    list[#list + 1] = place
  end
  return list
end

-- The job is at fault: it counts against none of these agents any more.
local function exonerate(id, agents)
  for _, agent in ipairs(agents) do
    local trial = read_trial(agent)
    for i, job in ipairs(trial.jobs) do
      if job == id and trial.level == 0 then
        table.remove(trial.jobs, i)
        if #trial.jobs > 0 then
          write_trial(agent, trial)
        else
          redis.call('HDEL', TRIALS, agent)
        end
        break
      end
    end
  end
end

local function forget_old_trials()
  for _, agent in ipairs(redis.call('ZRANGEBYSCORE', FAILING, '-inf', after(-TRIAL_MEMORY))) do
    end_trial(agent)
  end
end

-- Whether quick failures are so common that they say nothing about an agent.
local function common()
  return redis.call('ZCOUNT', FAILING, after(-LATELY), '+inf') * 2 > redis.call('ZCARD', AGENTS)
end

-- One strike more. Returns the event of the quarantine, if it comes to that. What was claimed before the end of the
-- last one is not held against the agent again.
local function strike(agent, id, claimed, cause)
  local trial = read_trial(agent)
  if trial.level == 0 then
    for _, job in ipairs(trial.jobs) do
      if job == id then
        return nil
      end
    end
    trial.jobs[#trial.jobs + 1] = id
  elseif tonumber(claimed) < tonumber(trial.ends) then
    return nil
  else
    trial.jobs = {id}
  end
  if trial.level == 0 and #trial.jobs < STRIKES then
    write_trial(agent, trial)
    return nil
  end
  local seconds = math.min(FIRST_QUARANTINE * 2 ^ trial.level, LONGEST_QUARANTINE)
  trial.level, trial.ends, trial.probe = trial.level + 1, after(seconds), '-'
  write_trial(agent, trial)
  local text = string.format('jobs keep failing at this agent: it gets none for %d s; the last was %s', seconds, id)
  return event('', 'quarantined', '0', agent, cause, text)
end

-- An attempt of a job at an agent has ended, by this cause: what that says about the agent. Returns the event of its
-- quarantine, or nil.
local function judge(id, agent, cause)
  local confirmed, claimed = unpack(redis.call('HMGET', JOB .. id, 'confirmed', 'claimed'))
  if cause == 'ok' then
    end_trial(agent)
    return nil
  end
  local infrastructure = string.find(cause, '^infra%-')
  local quick = tonumber(now) - tonumber(confirmed or claimed) < QUICK
  if cause == 'cancelled' or not (infrastructure or quick) then
    return nil
  end
  forget_old_trials()
  local places = places_of_failure(id, agent)
  if #places >= SEVERAL then
    exonerate(id, places)
    return nil
  end
  redis.call('ZADD', FAILING, now, agent)
  redis.call('EXPIRE', FAILING, TRIAL_MEMORY)
  if not infrastructure and common() then
    return nil
  end
  return strike(agent, id, claimed, cause)
end

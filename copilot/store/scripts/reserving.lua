-- Jobs that do not fit now are passed over, and do not starve. The loader puts it in front of the scripts that use it.
--
-- `passed-over` has of a group '<order of its first job> <since> <until> <agent>'. When its first job was passed over for RESERVE_AFTER,
-- the first agent that it would fit on when empty is kept for it (that its host is large enough is part of the requirements): the
-- agent gets nothing that comes after it, until the job is claimed, the agent is gone or gets no jobs, the job would not end there in time any
-- more, or for RESERVED_FOR. Where that was in vain another agent comes first: `until` is 0 then, and the one that is named has to wait twice as long.
-- Times that are to come are those of a clock that was set back: they count as no times.

local RESERVE_AFTER = 60
local RESERVED_FOR = 3600
local PASSED_MEMORY = 7200

local function write_passed(group, first, since, till, agent)
  redis.call('HSET', PASSED_OVER, group, string.format('%s %s %s %s', first, since, till, agent))
  redis.call('EXPIRE', PASSED_OVER, PASSED_MEMORY)
end

local function read_passed(text)
  return string.match(text or '', '^(%S+) (%S+) (%S+) (.*)$')
end

-- Groups whose jobs are all gone without a claim leave their entries behind; of these there are never many more than so many.
local function sweep_passed()
  if redis.call('HLEN', PASSED_OVER) <= redis.call('ZCARD', HEADS) + redis.call('ZCARD', PLAIN_HEADS) + 1000 then
    return
  end
  for _, group in ipairs(redis.call('HKEYS', PASSED_OVER)) do
    if redis.call('EXISTS', QUEUE .. group) == 0 then
      redis.call('HDEL', PASSED_OVER, group)
    end
  end
end

-- Whether an agent (full or bare JID) is there and gets jobs at all: nothing is kept at one that is not, that is to leave, is set aside or in
-- quarantine, or whose account is out. One with a full JID says every eight minutes that it has room.
local function may_be_kept(whose)
  local agent = string.match(whose, '^[^/]*')
  if whose ~= agent and not redis.call('ZSCORE', PARKED, whose)
    and tonumber(redis.call('ZSCORE', HOSTS, whose) or 0) <= tonumber(after(-ONLINE_FOR)) then
    return false
  end
  local trial = read_trial(agent)
  return set_aside_for(agent) == 0 and (trial.level == 0 or tonumber(trial.ends) <= tonumber(now))
    and tonumber(redis.call('ZSCORE', DRAINING, agent) or 0) <= tonumber(now) and may_have_jobs(agent)
end

-- Whether an agent is kept until then.
local function is_kept_till(till)
  return tonumber(till) > tonumber(now) and tonumber(till) <= tonumber(after(RESERVED_FOR))
end

-- The job under this head does not fit now on what this agent has free. Returns whether the agent is kept for it. (One that gets no jobs does
-- not come here.)
local function is_kept_for(agent, group, head)
  local leaves = tonumber(redis.call('ZSCORE', DRAINING, string.match(agent, '^[^/]*')) or 0) > tonumber(now)
  local job = string.sub(head, 1, 26)
  local first, since, till, whose = read_passed(redis.call('HGET', PASSED_OVER, group))
  if first ~= job or tonumber(since) > tonumber(now) then
    sweep_passed()
    write_passed(group, job, now, '0', '')
    return false
  elseif is_kept_till(till) then
    if whose == agent and not leaves or may_be_kept(whose) then
      return whose == agent
    end
  elseif till ~= '0' then
    write_passed(group, job, now, '0', whose)
    return false
  end
  local wait = whose == agent and 2 * RESERVE_AFTER or RESERVE_AFTER
  if leaves or tonumber(since) + wait > tonumber(now) then
    return false
  end
  write_passed(group, job, since, after(RESERVED_FOR), agent)
  return true
end

-- The job under this head would not end on this agent in time: it is kept for it no longer.
local function end_keeping(agent, group, head)
  local first, since, till, whose = read_passed(redis.call('HGET', PASSED_OVER, group))
  if first == string.sub(head, 1, 26) and whose == agent and till ~= '0' then
    write_passed(group, first, since, '0', agent)
  end
end

-- A job of this group was claimed.
local function end_passing(group)
  redis.call('HDEL', PASSED_OVER, group)
end

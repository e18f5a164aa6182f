-- Jobs that do not fit now are passed over, and do not starve. The loader puts it in front of the scripts that use it.
--
-- `passed-over` has of a group '<order of its first job> <since> <until> <agent>'. When its first job was passed over for RESERVE_AFTER,
-- the first agent that it would fit on when empty is kept for it (that its host is large enough is part of the requirements): the
-- agent gets nothing that comes after it, until the job is claimed, the agent is gone or gets no jobs, or for RESERVED_FOR.

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

-- Whether an agent (full or bare JID) gets jobs at all: nothing is kept at one that is set aside or in quarantine.
local function may_be_kept(whose)
  local agent = string.match(whose, '^[^/]*')
  local trial = read_trial(agent)
  return set_aside_for(agent) == 0 and (trial.level == 0 or tonumber(trial.ends) <= tonumber(now))
end

-- The job under this head does not fit now on what this agent has free. Returns whether the agent is kept for it.
local function is_kept_for(agent, group, head)
  local job = string.sub(head, 1, 26)
  local first, since, till, whose = read_passed(redis.call('HGET', PASSED_OVER, group))
  if first ~= job then
    sweep_passed()
    write_passed(group, job, now, '0', '')
    return false
  elseif whose ~= '' and tonumber(till) > tonumber(now) then
    if whose == agent or may_be_kept(whose) then
      return whose == agent
    end
  elseif whose ~= '' then
    write_passed(group, job, now, '0', '')
    return false
  end
  if tonumber(since) + RESERVE_AFTER > tonumber(now) then
    return false
  end
  write_passed(group, job, since, after(RESERVED_FOR), agent)
  return true
end

-- A job of this group was claimed.
local function end_passing(group)
  redis.call('HDEL', PASSED_OVER, group)
end

-- An agent is not there any more: nothing is kept there.
local function end_keeping(agent)
  local found = redis.call('HGETALL', PASSED_OVER)
  for i = 1, #found, 2 do
    local first, since, _, whose = read_passed(found[i + 1])
    if whose == agent then
      write_passed(found[i], first, since, '0', '')
    end
  end
end

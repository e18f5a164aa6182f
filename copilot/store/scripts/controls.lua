-- What operators have stopped: the whole queue, or single agents. The loader puts it in front of the scripts that use it.
--
-- `paused` has a line of JSON for each of 'dispatch' (no agent gets a job) and 'intake' (no new job is taken); `set-aside` one for
-- each agent that somebody has put in quarantine by hand, until a time or until somebody lets it out. No success ends that.

local function is_paused(gate)
  return redis.call('HEXISTS', PAUSED, gate) == 1
end

-- For how many seconds from now an agent is set aside: 0 if it is not, -1 if until somebody lets it out.
local function set_aside_for(agent)
  local line = redis.call('HGET', SET_ASIDE, agent)
  if not line then
    return 0
  end
  local ends = cjson.decode(line).ends
  return ends == '' and -1 or math.max(0, tonumber(ends) - tonumber(now))
end

-- Whether an agent gets no job now.
local function gets_nothing(agent)
  return is_paused('dispatch') or set_aside_for(agent) ~= 0
end

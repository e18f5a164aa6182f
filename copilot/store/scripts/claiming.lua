-- Giving waiting jobs to agents, and remembering those that found none. The loader puts it in front of each script.
--
-- `parked` has the full JIDs of idle agents, those that have waited for longest first; `parking` says of each
-- '<bare JID> <how many jobs it can take> <lease or -> <features …>'.

local MOST_LEFT = 100
local PARKED_FOR = 900
local MOST_FORGOTTEN_AT_ONCE = 100

local function is_exclusive(id)
  return cjson.decode(redis.call('HGET', JOB .. id, 'spec')).exclusive
end

-- Claim at most `count` jobs of a group, none if the agent is in quarantine; returns a list of {id, attempt}. `lease` is
-- '' for an agent that renews none. They have to be confirmed within `limit` seconds.
local function claim_jobs(agent, count, group, lease, limit)
  local queue, left, given = QUEUE .. group, {}, {}
  local deadline = after(limit)
  -- The first job that is not to be left to other agents.
  local function take()
    while #left < MOST_LEFT do
      local entry, rank = unpack(redis.call('ZPOPMIN', queue))
      if not entry then
        return nil
      end
      local id = string.match(entry, ':(.*)$')
      if not is_for_others(id, agent) and (lease ~= '' or not is_exclusive(id)) then
        return id
      end
      left[#left + 1] = {rank, entry}
    end
    return nil
  end
  for _ = 1, allowance(agent, count) do
    local id = take()
    if not id then
      break
    end
    local attempt = string.format('%d', redis.call('HINCRBY', JOB .. id, 'attempt', 1))
    redis.call('HINCRBY', JOB .. id, 'attempts_used', 1)
    redis.call('HDEL', JOB .. id, 'confirmed', 'outcome', 'phase', 'lease')
    redis.call('HSET', JOB .. id, 'state', 'running', 'agent', agent, 'claimed', now)
    if lease ~= '' then
      redis.call('HSET', JOB .. id, 'lease', lease)
    end
    redis.call('ZADD', RUNNING, deadline, id)
    event(id, 'claimed', attempt, agent, '', '')
    given[#given + 1] = {id, attempt}
  end
  for _, entry in ipairs(left) do
    redis.call('ZADD', queue, unpack(entry))
  end
  if #given > 0 then
    note_claim(agent, given[1][1] .. ':' .. given[1][2])
  end
  return given
end

-- What an agent is told of a job that it has: spec, attempt, time of the claim, lease ('' for none).
local function append_job(answer, id, attempt)
  local spec, claimed, lease = unpack(redis.call('HMGET', JOB .. id, 'spec', 'claimed', 'lease'))
  for _, value in ipairs({spec, attempt, claimed, lease or ''}) do
    answer[#answer + 1] = value
  end
end

local function unpark(jid)
  redis.call('HDEL', PARKING, jid)
  return redis.call('ZREM', PARKED, jid)
end

-- From now on the agent can take so many jobs.
local function park(jid, agent, slots, lease, features)
  if slots <= 0 then
    unpark(jid)
    return
  end
  redis.call('ZADD', PARKED, now, jid)
  redis.call('HSET', PARKING, jid, string.format('%s %d %s %s', agent, slots, lease == '' and '-' or lease, features))
end

-- Agents that have not shown up for long.
local function end_parking()
  local limit = {'LIMIT', 0, MOST_FORGOTTEN_AT_ONCE}
  for _, jid in ipairs(redis.call('ZRANGEBYSCORE', PARKED, '-inf', after(-PARKED_FOR), unpack(limit))) do
    unpark(jid)
  end
end

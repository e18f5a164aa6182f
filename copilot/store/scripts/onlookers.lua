-- What onlookers want to know of jobs: which one of a queue is the oldest, who has one that runs. The loader puts it in front of the scripts that use it.

local MOST_PRIORITIES = 16

-- When the oldest job in the queue of a group was submitted, nothing if it is empty. It is the first one of a priority; in a queue
-- of many the lowest ones are looked at, for there jobs wait for longest.
local function oldest_in(group)
  local queue, found = QUEUE .. group, nil
  local rank = redis.call('ZRANGE', queue, -1, -1, 'WITHSCORES')[2]
  for _ = 1, MOST_PRIORITIES do
    if not rank then
      break
    end
    local first = redis.call('ZRANGEBYSCORE', queue, rank, rank, 'LIMIT', 0, 1)[1]
    local submitted = redis.call('HGET', record_of(id_of(first)), 'submitted') or ''
    found = tonumber(submitted) and (not found or tonumber(submitted) < tonumber(found)) and submitted or found
    rank = redis.call('ZREVRANGEBYSCORE', queue, '(' .. rank, '-inf', 'WITHSCORES', 'LIMIT', 0, 1)[2]
  end
  return found
end

-- Who has a job that runs: id, attempt, agent, time of the claim, phase, cores ('' for one).
local function append_work(answer, id)
  answer[#answer + 1] = id
  local values = redis.call('HMGET', JOB .. id, 'attempt', 'agent', 'claimed', 'phase', 'cores')
  for at = 1, 5 do
    answer[#answer + 1] = values[at] or ''
  end
end

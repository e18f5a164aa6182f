-- What onlookers want to know of jobs: which one of a queue is the oldest, who has one that runs. The loader puts it in front of the scripts that use it.

local MOST_PRIORITIES = 16

-- The entry of the oldest job in the queue of a group, nothing if it is empty. It is the first one of a priority; in a queue
-- of many the lowest ones are looked at, for there jobs wait for longest.
local function oldest_in(group)
  local queue, found = QUEUE .. group, nil
  local rank = redis.call('ZRANGE', queue, -1, -1, 'WITHSCORES')[2]
  for _ = 1, MOST_PRIORITIES do
    if not rank then
      break
    end
    local first = redis.call('ZRANGEBYSCORE', queue, rank, rank, 'LIMIT', 0, 1)[1]
    found = (not found or first < found) and first or found
    rank = redis.call('ZREVRANGEBYSCORE', queue, '(' .. rank, '-inf', 'WITHSCORES', 'LIMIT', 0, 1)[2]
  end
  return found
end

-- When the job of an entry was submitted.
local function submission_of(entry)
  return redis.call('HGET', JOB .. string.sub(entry, 18), 'submitted') or ''
end

-- Who has a job that runs: id, attempt, agent, time of the claim, phase.
local function append_work(answer, id)
  answer[#answer + 1] = id
  local values = redis.call('HMGET', JOB .. id, 'attempt', 'agent', 'claimed', 'phase')
  for at = 1, 4 do
    answer[#answer + 1] = values[at] or ''
  end
end

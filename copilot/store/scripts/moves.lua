-- What becomes of a job: it goes back, is over. The loader puts it in front of the scripts that use it.

local ATTEMPTS_KEPT = 100
local HAND_BACKS_FREE = 5
local LONGEST_DELAY = 300

-- Keep how an attempt ended. `outcome` is '' for one that never began.
local function remember(id, attempt, agent, kind, cause, outcome)
  local entry = string.format('{"attempt":%s,"agent":%s,"claimed":%s,"ended":%s,"kind":"%s","cause":"%s","outcome":%s}',
    attempt, cjson.encode(agent or ''), redis.call('HGET', JOB .. id, 'claimed') or now, now, kind, cause,
    outcome == '' and 'null' or outcome)
  redis.call('RPUSH', ATTEMPTS .. id, entry)
  redis.call('LTRIM', ATTEMPTS .. id, -ATTEMPTS_KEPT, -1)
end

-- The job is over. `output` is '' if there is none.
local function settle(id, attempt, agent, cause, outcome, output, text)
  local state, index = 'failed', FAILED
  if cause == 'ok' then
    state, index = 'done', DONE
  elseif cause == 'cancelled' then
    state, index = 'cancelled', CANCELLED
  end
  local owner, before = unpack(redis.call('HMGET', JOB .. id, 'owner', 'state'))
  redis.call('ZREM', CANCELLING, id)
  if before == 'running' then
    redis.call('ZREM', RUNNING, id)
  else
    redis.call('ZREM', ON_HOLD, id)
    redis.call('ZREM', BLOCKED, id)
    leave_queue(id)
  end
  change_state(id, owner, before, state, 'finished', now, 'settled', attempt, 'outcome', outcome)
  redis.call('ZADD', index, now, id)
  redis.call('ZADD', UNPUBLISHED, now, id)
  if output ~= '' then
    redis.call('HSET', JOB .. id, 'output', output)
  end
  remember(id, attempt, agent, state, cause, outcome)
  local written = event(id, state, attempt, agent, cause, text)
  let_others_in(id, state)
  local array = redis.call('HGET', JOB .. id, 'array')
  if array then
    redis.call('HINCRBY', ARRAY .. array, 'n:unpublished', 1)
    note_end_of(array)
  end
  return written
end

-- Back to its old place in the queue, unless somebody wants the job to end: then it is over.
local function put_back(id, attempt, agent, kind, cause, outcome, text, delay)
  local cancel = redis.call('HGET', JOB .. id, 'cancel')
  if cancel then
    return settle(id, attempt, agent, 'cancelled', cancel, '', text)
  end
  redis.call('ZREM', RUNNING, id)
  if redis.call('HGET', JOB .. id, 'state') == 'held' then -- somebody holds it since it was handed back
    remember(id, attempt, agent, kind, cause, outcome)
    return event(id, kind, attempt, agent, cause, text)
  end
  if delay then
    enter_state(id, 'waiting')
    redis.call('ZADD', DELAYED, after(delay), id)
  else
    put_in_queue(id)
  end
  remember(id, attempt, agent, kind, cause, outcome)
  return event(id, kind, attempt, agent, cause, text)
end

-- The attempt never began: it does not count. A job to which that happens again and again waits longer each time.
local function hand_back(id, attempt, agent, cause, text)
  redis.call('HINCRBY', JOB .. id, 'attempts_used', -1)
  redis.call('HSET', JOB .. id, 'handed_back', attempt)
  if redis.call('HGET', JOB .. id, 'phase') == 'run' then -- its agent had to leave in the middle of it
    charge(id, attempt, agent, cause, '', false)
  else
    charge_nothing(id, agent)
  end
  local times, delay = redis.call('HINCRBY', JOB .. id, 'hand_backs', 1)
  if times > HAND_BACKS_FREE then
    delay = math.min(2 ^ (times - HAND_BACKS_FREE), LONGEST_DELAY)
  end
  return put_back(id, attempt, agent, 'handed-back', cause, '', text, delay)
end

-- The attempt ended without a result that counts.
local function requeue(id, attempt, agent, cause, outcome, text)
  redis.call('HSET', JOB .. id, 'outcome', outcome, 'hand_backs', 0)
  return put_back(id, attempt, agent, 'requeued', cause, outcome, text)
end

-- What somebody wants of a job, or of elements of an array that no agent ever had. The loader puts it in front of the scripts that use it.
--
-- Each returns whether that changed anything, and the state after it ('' if there is no such job).

local KIND_OF = {hold = 'held', release = 'released', cancel = 'cancelled', retry = 'retried'}

-- The state to which elements go, nothing for those of which it cannot be wanted.
local function goal(array, verb, state)
  local line = redis.call('EXISTS', AWAITS .. array.id) == 1 and 'blocked' or 'waiting'
  if verb == 'retry' then
    return state == 'cancelled' and line or nil
  elseif verb == 'release' then
    return state == 'held' and line or state == 'blocked' and 'waiting' or nil
  elseif verb == 'hold' then
    return (state == 'waiting' or state == 'blocked') and 'held' or nil
  end
  return state ~= 'cancelled' and 'cancelled' or nil
end

-- Elements of a part go where somebody wants them, if they can. Returns the state.
local function operate_part(array, part, from, to, verb, outcome)
  local state = goal(array, verb, part.state)
  if state then
    move_elements(array, part, from, to, state, state == 'waiting' and '' or now, state == 'cancelled' and outcome or '')
    if state == 'waiting' then
      hint()
    end
  end
  return state
end

local function operate_element(id, verb, text, outcome)
  local array, index = find_element(id)
  local part = array and part_of(array, index)
  if not part then
    return {0, ''}
  end
  local state = operate_part(array, part, index, index + 1, verb, outcome)
  if not state then
    return {0, part.state}
  end
  event(id, KIND_OF[verb], '0', '', state == 'cancelled' and state or '', text)
  if state == 'cancelled' then
    note_end_of(array.id)
  end
  return {1, state}
end

local function hold_job(id, text)
  local state, attempt, agent = unpack(redis.call('HMGET', JOB .. id, 'state', 'attempt', 'agent'))
  if not state then
    return operate_element(id, 'hold', text, '')
  elseif state == 'waiting' then
    leave_queue(id)
  elseif state == 'blocked' then
    redis.call('ZREM', BLOCKED, id)
  else
    return {0, state}
  end
  enter_state(id, 'held')
  redis.call('ZADD', ON_HOLD, now, id)
  event(id, 'held', attempt, agent, '', text)
  return {1, 'held'}
end

local function release_job(id, text)
  local state, attempt, agent = unpack(redis.call('HMGET', JOB .. id, 'state', 'attempt', 'agent'))
  if not state then
    return operate_element(id, 'release', text, '')
  elseif state == 'held' then
    redis.call('ZREM', ON_HOLD, id)
  elseif state == 'blocked' then
    redis.call('ZREM', BLOCKED, id)
    end_waiting(id)
  else
    return {0, state}
  end
  state = put_back_in_line(id)
  event(id, 'released', attempt, agent, '', text)
  return {1, state}
end

-- A running job goes on until its agent has stopped it, reports, or loses its lease; whatever ends first counts.
local function cancel_job(id, outcome, text)
  local state, attempt, agent, cancel = unpack(redis.call('HMGET', JOB .. id, 'state', 'attempt', 'agent', 'cancel'))
  if not state then
    return operate_element(id, 'cancel', text, outcome)
  elseif state == 'waiting' or state == 'held' or state == 'blocked' then
    settle(id, attempt, agent, 'cancelled', outcome, '', text)
    return {1, 'cancelled'}
  elseif state == 'running' and not (cancel and redis.call('ZSCORE', CANCELLING, id)) then -- one without the other: by managers of format 1
    redis.call('HSET', JOB .. id, 'cancel', outcome)
    redis.call('ZADD', CANCELLING, now, id)
    hint_orders()
    event(id, 'cancelling', attempt, agent, '', text)
    return {1, state}
  end
  return {0, state}
end

-- Not before its finisher has taken the result: that would be given the next one as if it were the first.
local function retry_job(id, text)
  local state, attempt, agent, published = unpack(redis.call('HMGET', JOB .. id, 'state', 'attempt', 'agent', 'published'))
  if not state then
    return operate_element(id, 'retry', text, '')
  elseif (state ~= 'failed' and state ~= 'cancelled') or not published then
    return {0, state}
  end
  redis.call('ZREM', FAILED, id)
  redis.call('ZREM', CANCELLED, id)
  redis.call('HDEL', JOB .. id, 'outcome', 'output', 'finished', 'published', 'cancel', 'suspected',
    'hand_backs', 'user_failures', 'failed_at', 'struck')
  redis.call('HSET', JOB .. id, 'attempts_used', 0)
  state = put_back_in_line(id)
  event(id, 'retried', attempt, agent, '', text)
  return {1, state}
end

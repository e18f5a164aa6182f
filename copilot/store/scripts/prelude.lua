-- What all scripts share; the loader puts it, trial.lua and claiming.lua in front of each.
--
-- KEYS: all of keys.TABLE, in its order. Keys of single jobs, queues and requests are made from the bases among
-- them, so Redis Cluster is not supported. ARGV[1]: the time in seconds since the epoch, or '' for Redis' own clock.
-- Runs on Redis 6.2 and later; uses none of cmsgpack, struct and bit.

local JOB, QUEUE, REQUEST, HELD, ATTEMPTS, PACKAGE, SEQUENCE, RUNNING, DONE, FAILED, CANCELLED, CANCELLING, ON_HOLD,
  DRAINING, DELAYED, AGENTS, FAILING, TRIALS, UNPUBLISHED, PARKED, PARKING, EVENTS = unpack(KEYS)
local EVENTS_KEPT = 100000
local ATTEMPTS_KEPT = 100
local HAND_BACKS_FREE = 5
local LONGEST_DELAY = 300
local MOST_DELAYED_AT_ONCE = 100

local function read_clock()
  if ARGV[1] ~= '' then
    return tonumber(ARGV[1])
  end
  local time = redis.call('TIME')
  return tonumber(time[1]) + tonumber(time[2]) / 1000000
end

-- A double as text that reads back as the same double (tostring keeps 14 digits: not even milliseconds).
local function exact(number)
  return string.format('%.17g', number)
end

local now = exact(read_clock())

local function after(seconds)
  return exact(tonumber(now) + seconds)
end

-- What is on the queue goes on to its end even if the memory is full: scripts for that begin with this. Redis refuses
-- what needs memory only as long as a script has written nothing; this is a write, of nothing (no key has this name).
local function even_if_full()
  redis.call('DEL', JOB)
end

-- Write one entry on the event stream; return it as a flat list, its id first.
local function event(job, kind, attempt, agent, cause, text)
  local id = redis.call('XADD', EVENTS, 'MAXLEN', '~', EVENTS_KEPT, '*', 'time', now, 'job', job, 'kind', kind,
    'attempt', attempt, 'agent', agent or '', 'cause', cause, 'text', text)
  return {id, now, job, kind, attempt, agent or '', cause, text}
end

-- The queue of a job, its score there, and its name there. Equal scores are ordered by name, and the place has
-- always 16 digits: priority first, then age, both exact. None of the three ever changes.
local function queue_entry(id)
  local group, rank, place = unpack(redis.call('HMGET', JOB .. id, 'group', 'rank', 'place'))
  return QUEUE .. group, rank, place .. ':' .. id
end

-- Whether somebody was told in this script that a job waits.
local hinted = false

-- A job joins its queue. If agents are parked, the managers are told so on the channel that is called like their key.
local function put_in_queue(id)
  local queue, rank, entry = queue_entry(id)
  redis.call('ZADD', queue, rank, entry)
  redis.call('HSET', JOB .. id, 'state', 'waiting')
  if not hinted and redis.call('EXISTS', PARKED) == 1 then
    redis.pcall('PUBLISH', PARKED, '') -- an account without rights on channels goes without hints
    hinted = true
  end
end

local function leave_queue(id)
  local queue, _, entry = queue_entry(id)
  redis.call('ZREM', queue, entry)
  redis.call('ZREM', DELAYED, id)
end

-- Jobs whose delay is over join the queue.
local function end_delays()
  for _, id in ipairs(redis.call('ZRANGEBYSCORE', DELAYED, '-inf', now, 'LIMIT', 0, MOST_DELAYED_AT_ONCE)) do
    redis.call('ZREM', DELAYED, id)
    put_in_queue(id)
  end
end

-- Whether the memory in use is above this share of maxmemory, counted as Redis does it when it refuses to write.
local function above(share)
  local info = redis.call('INFO', 'memory')
  local function number(name)
    return tonumber(string.match(info, '\n' .. name .. ':(%d+)'))
  end
  local most = number('maxmemory')
  return most > 0 and number('used_memory') - number('mem_not_counted_for_evict') > most * share
end

-- A new job: its record, its place in the queue, its first event. Its id is free, and has been checked.
local function add_job(id, spec, group, rank, max_attempts, max_user_attempts, max_run_time)
  local place = string.format('%016.0f', redis.call('INCR', SEQUENCE))
  redis.call('HSET', JOB .. id, 'spec', spec, 'group', group, 'rank', rank, 'place', place,
    'max_attempts', max_attempts, 'max_user_attempts', max_user_attempts, 'max_run_time', max_run_time, 'submitted', now,
    'state', 'waiting', 'attempt', 0, 'attempts_used', 0)
  put_in_queue(id)
  local written = event(id, 'submitted', '0', '', '', '')
  redis.call('HSET', JOB .. id, 'first_event', written[1])
end

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
  redis.call('ZREM', RUNNING, id)
  redis.call('ZREM', CANCELLING, id)
  redis.call('ZREM', ON_HOLD, id)
  leave_queue(id)
  redis.call('HSET', JOB .. id, 'state', state, 'finished', now, 'settled', attempt, 'outcome', outcome)
  redis.call('ZADD', index, now, id)
  redis.call('ZADD', UNPUBLISHED, now, id)
  if output ~= '' then
    redis.call('HSET', JOB .. id, 'output', output)
  end
  remember(id, attempt, agent, state, cause, outcome)
  return event(id, state, attempt, agent, cause, text)
end

-- Back to its old place in the queue, unless somebody wants the job to end: then it is over.
local function put_back(id, attempt, agent, kind, cause, outcome, text, delay)
  local cancel = redis.call('HGET', JOB .. id, 'cancel')
  if cancel then
    return settle(id, attempt, agent, 'cancelled', cancel, '', text)
  end
  redis.call('ZREM', RUNNING, id)
  if delay then
    redis.call('HSET', JOB .. id, 'state', 'waiting')
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

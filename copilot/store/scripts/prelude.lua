-- What all scripts share; the loader puts it in front of each.
--
-- KEYS: all of keys.TABLE, in its order. Keys of single jobs, queues and requests are made from the bases among
-- them, so Redis Cluster is not supported. ARGV[1]: the time in seconds since the epoch, or '' for Redis' own clock.
-- Runs on Redis 6.2 and later; uses none of cmsgpack, struct and bit.

local JOB, QUEUE, REQUEST, HELD, SEQUENCE, RUNNING, DONE, FAILED, UNPUBLISHED, EVENTS = unpack(KEYS)
local EVENTS_KEPT = 100000

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

local function put_in_queue(id)
  local queue, rank, entry = queue_entry(id)
  redis.call('ZADD', queue, rank, entry)
  redis.call('HSET', JOB .. id, 'state', 'waiting')
end

-- A new job: its record, its place in the queue, its first event. Its id is free, and has been checked.
local function add_job(id, spec, group, rank, max_attempts, max_run_time)
  local place = string.format('%016.0f', redis.call('INCR', SEQUENCE))
  redis.call('HSET', JOB .. id, 'spec', spec, 'group', group, 'rank', rank, 'place', place,
    'max_attempts', max_attempts, 'max_run_time', max_run_time, 'submitted', now,
    'state', 'waiting', 'attempt', 0, 'attempts_used', 0)
  put_in_queue(id)
  local written = event(id, 'submitted', '0', '', '', '')
  redis.call('HSET', JOB .. id, 'first_event', written[1])
end

-- The attempt never began: back to its old place, not counted.
local function hand_back(id, attempt, agent, cause, text)
  redis.call('ZREM', RUNNING, id)
  put_in_queue(id)
  redis.call('HINCRBY', JOB .. id, 'attempts_used', -1)
  redis.call('HSET', JOB .. id, 'handed_back', attempt)
  return event(id, 'handed-back', attempt, agent, cause, text)
end

-- The attempt ended without a result that counts: back to its old place.
local function requeue(id, attempt, agent, cause, outcome, text)
  redis.call('ZREM', RUNNING, id)
  put_in_queue(id)
  redis.call('HSET', JOB .. id, 'outcome', outcome)
  return event(id, 'requeued', attempt, agent, cause, text)
end

-- The job is over. `output` is '' if there is none.
local function settle(id, attempt, agent, cause, outcome, output, text)
  local state, index = 'failed', FAILED
  if cause == 'ok' then
    state, index = 'done', DONE
  end
  local queue, _, entry = queue_entry(id)
  redis.call('ZREM', RUNNING, id)
  redis.call('ZREM', queue, entry)
  redis.call('HSET', JOB .. id, 'state', state, 'finished', now, 'settled', attempt, 'outcome', outcome)
  redis.call('ZADD', index, now, id)
  redis.call('ZADD', UNPUBLISHED, now, id)
  if output ~= '' then
    redis.call('HSET', JOB .. id, 'output', output)
  end
  return event(id, state, attempt, agent, cause, text)
end


-- What all scripts share; the loader puts it in front of each, and the other shared files where they are used.
--
-- KEYS: all of keys.TABLE, in its order. Keys of single jobs, queues and requests are made from the bases among
-- them, so Redis Cluster is not supported. ARGV[1]: the time in seconds since the epoch, or '' for Redis' own clock.
-- Runs on Redis 6.2 and later; uses none of cmsgpack, struct and bit.

local JOB, ARRAY, PARTS, IN_RANGES, NUMBERED, QUEUE, HEADS, PLAIN_HEADS, SEEN, GROUP, GROUPS, ATTRIBUTES, MATCHES, RANKS, HOST, REQUEST, HELD, ATTEMPTS, PACKAGE, SEQUENCE,
  STARTED, TURNS, SHARES, IN_USE, PASSED_OVER, RUNNING, DONE, FAILED, CANCELLED, CANCELLING, ON_HOLD, BLOCKED, AWAITS, AWAITED, LETTING_IN, DRAINING, DELAYED, AGENTS, FAILING,
  TRIALS, UNPUBLISHED, PARKED, PARKING, OWNERS, OWNERS_RUNNING, EVENTS, ACCOUNTS, ACCOUNTS_CHANGED, ACCOUNTS_ENDING, BUNDLES, ERRANDS,
  ERRANDS_DUE, HOSTS, ALIVE, REACH, WATCHED, WATCH, OUTPUT, USAGE, PAUSED, SET_ASIDE, FORMAT, RUNNING_OF_1,
  CANCELLING_OF_1, DELAYED_OF_1 = unpack(KEYS)
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

-- Whether the memory in use is above this share of maxmemory, counted as Redis does it when it refuses to write.
local function above(share)
  local info = redis.call('INFO', 'memory')
  local function number(name)
    return tonumber(string.match(info, '\n' .. name .. ':(%d+)'))
  end
  local most = number('maxmemory')
  return most > 0 and number('used_memory') - number('mem_not_counted_for_evict') > most * share
end

-- The state of a job, and how many jobs of each owner are on the queue. The loader puts it in front of the scripts that use it.
--
-- `owners` counts the jobs that wait, in a queue or for others, or run, `owners-running` those of them that run, `in-use` what these use besides. Whoever is not there has none. All
-- changes of state go through `change_state`, which alone counts, so a job is counted as what its record says.

local OF_QUEUE = {waiting = 1, running = 1, blocked = 1}

local function count_owner(owner, jobs, running)
  if jobs ~= 0 and tonumber(redis.call('ZINCRBY', OWNERS, jobs, owner)) <= 0 then
    redis.call('ZREM', OWNERS, owner)
    forgive(owner)
  end
  if running ~= 0 and redis.call('HINCRBY', OWNERS_RUNNING, owner, running) <= 0 then
    redis.call('HDEL', OWNERS_RUNNING, owner)
  end
end

-- The owner of a job that an older version has put on the queue; it has counted nothing.
local function owner_in_spec(id)
  local readable, spec = pcall(cjson.decode, redis.call('HGET', JOB .. id, 'spec'))
  return readable and spec.owner or ''
end

local function add_use(name, number)
  if redis.call('HINCRBY', IN_USE, name, number) <= 0 then
    redis.call('HDEL', IN_USE, name)
  end
end

-- A job begins (1) or ends (-1) to use its cores. Of each job one is in the count of jobs; `in-use` has the others, and what projects run.
local function count_use(id, owner, sign)
  local project, cores = unpack(redis.call('HMGET', JOB .. id, 'project', 'cores'))
  local more = (tonumber(cores) or 1) - 1
  if more > 0 then
    add_use('cores:owner:' .. owner, sign * more)
  end
  if project then
    add_use('jobs:project:' .. project, sign)
  end
  if project and more > 0 then
    add_use('cores:project:' .. project, sign * more)
  end
end

-- The hash that tells of an entry of a queue or index, a job or a range of an array (arrays.lua).
local function record_of(name)
  local array = string.match(name, '^%+(.*)/')
  return array and ARRAY .. array or JOB .. name
end

-- So many elements of an array go from one state to another.
local function count_elements(array, before, state, number)
  redis.call('HINCRBY', ARRAY .. array, 'n:' .. before, -number)
  redis.call('HINCRBY', ARRAY .. array, 'n:' .. state, number)
end

-- A job goes from one state to another; the rest are fields that go with it, names and values by turns. `owner` is that of its
-- record, false if there is none yet.
local function change_state(id, owner, before, state, ...)
  if owner then
    redis.call('HSET', JOB .. id, 'state', state, ...)
  else
    owner, before = owner_in_spec(id), ''
    redis.call('HSET', JOB .. id, 'state', state, 'owner', owner, ...)
  end
  if state ~= before then
    local running = (state == 'running' and 1 or 0) - (before == 'running' and 1 or 0)
    count_owner(owner, (OF_QUEUE[state] or 0) - (OF_QUEUE[before] or 0), running)
    if running ~= 0 then
      count_use(id, owner, running)
    end
    local array = redis.call('HGET', JOB .. id, 'array')
    if array then
      count_elements(array, before, state, 1)
    end
  end
end

-- A job goes to a state, from whichever it is in.
local function enter_state(id, state, ...)
  local owner, before = unpack(redis.call('HMGET', JOB .. id, 'owner', 'state'))
  change_state(id, owner, before, state, ...)
end

-- Giving waiting jobs to agents, and remembering those that found none. The loader puts it in front of the scripts that use it.
--
-- `parked` has the full JIDs of idle agents, those that have waited for longest first; `parking` says of each
-- '<bare JID> <how many jobs it can take> <lease> <host> <class> <attributes> <features …>': `host:<host>` is what it has
-- said of its host, the class was made from these attributes (matching.lua). The first of the features may be `free=…` (packing.lua).

local MOST_LEFT = 100
local PARKED_FOR = 900
local MOST_FORGOTTEN_AT_ONCE = 100

local function is_exclusive(spec)
  return cjson.decode(spec).exclusive
end

-- Whether the first job of a group is exclusive: then all are. Groups of older versions are of both kinds.
local function begins_exclusive(group)
  local first = #group == GROUP_LENGTH and redis.call('ZRANGE', QUEUE .. group, 0, 0)[1]
  return first and is_exclusive(redis.call('HGET', record_of(id_of(first)), 'spec'))
end

-- What a claim has to know of a job.
local function read_job(id)
  local spec, owner, submitted, places, struck =
    unpack(redis.call('HMGET', record_of(id), 'spec', 'owner', 'submitted', 'failed_at', 'struck'))
  return {id = id, spec = spec, owner = owner, submitted = submitted, places = places, struck = struck}
end

-- Claim at most `count` jobs that fit on what is free, which becomes less; none if the agent is in quarantine. Returns a list of jobs
-- (read_job, `attempt`, `cores`), and whether there is nothing more for such a host with as much free. `lease` is '' for an agent
-- that renews none. They have to be confirmed within `limit` seconds.
local function claim_jobs(agent, host, count, lease, limit, free)
  local left, given, dry, started = {}, {}, false, {}
  local deadline = after(limit)
  -- The first job that is not to be left to other agents.
  local function take()
    while #left < MOST_LEFT do
      local queue = best_queue(host, free)
      if not queue then
        dry = #host.unknown == 0 and #left == 0 and not host.kept
        return nil
      end
      if lease == '' and begins_exclusive(queue.group) then
        host.skipped[queue.group] = true
      else
        local entry, rank = unpack(redis.call('ZPOPMIN', QUEUE .. queue.group)) -- here the first entry of a queue is taken
        local job = entry and read_job(id_of(entry))
        local takes = job and not is_for_others(job.places, job.struck, agent) and (lease ~= '' or not is_exclusive(job.spec))
        if takes and is_range(job.id) then
          job.id = take_first(job.id, entry)
          job.spec = redis.call('HGET', JOB .. job.id, 'spec')
        end
        -- The head is removed even without an entry: a program that knows nothing of heads may have taken it.
        note_departure(queue.group, queue.number, queue.head)
        if entry then
          if takes then
            local of_rank = started[rank] or {place = 0, cores = 0}
            of_rank.place = math.max(of_rank.place, tonumber(string.sub(entry, 1, 16)))
            of_rank.cores = of_rank.cores + (queue.request and queue.request.cores or 1)
            started[rank] = of_rank
            job.queue = queue
            return job
          end
          left[#left + 1] = {queue.group, job.id, entry, rank}
        end
      end
    end
    return nil
  end
  for _ = 1, gets_nothing(agent) and 0 or allowance(agent, count) do
    local job = take()
    if not job then
      break
    end
    local id, wait = job.id, ''
    job.cores = cores_for(job.spec, job.queue.request, free, job.queue.room)
    job.attempt = string.format('%d', redis.call('HINCRBY', JOB .. id, 'attempt', 1))
    redis.call('HINCRBY', JOB .. id, 'attempts_used', 1)
    redis.call('HDEL', JOB .. id, 'confirmed', 'outcome', 'phase', 'lease', 'cores')
    if job.cores > 1 then
      redis.call('HSET', JOB .. id, 'cores', job.cores)
    end
    if lease ~= '' then
      change_state(id, job.owner, 'waiting', 'running', 'agent', agent, 'claimed', now, 'lease', lease)
    else
      change_state(id, job.owner, 'waiting', 'running', 'agent', agent, 'claimed', now)
    end
    take_off(free, job.queue.request, job.cores)
    forget_rooms()
    if job.queue.request then
      end_passing(job.queue.group)
    end
    redis.call('ZADD', RUNNING, deadline, id)
    if job.attempt == '1' then
      wait = exact(math.max(0, tonumber(now) - tonumber(job.submitted)))
    end
    event(id, 'claimed', job.attempt, agent, '', wait)
    given[#given + 1] = job
  end
  for rank, one in pairs(started) do
    note_start(rank, one.place, one.cores, first_place(rank))
  end
  if #left == 0 then
    keep_seen(host)
  end
  for _, entry in ipairs(left) do
    enter_queue(unpack(entry))
  end
  if #given > 0 then
    note_claim(agent, given[1].id .. ':' .. given[1].attempt)
  end
  return given, dry
end

-- What is told of a job that an agent has: spec, attempt, time of the claim, lease ('' for none), time of the submission, cores.
local function append_values(answer, ...)
  for _, value in ipairs({...}) do
    answer[#answer + 1] = value
  end
end

-- That of a job that was just claimed.
local function append_claimed(answer, job, lease)
  append_values(answer, job.spec, job.attempt, now, lease, job.submitted, job.cores)
end

-- That of a job that was claimed before.
local function append_job(answer, id, attempt)
  local spec, claimed, lease, submitted, cores =
    unpack(redis.call('HMGET', JOB .. id, 'spec', 'claimed', 'lease', 'submitted', 'cores'))
  append_values(answer, spec, attempt, claimed, lease or '', submitted, cores or 1)
end

local function unpark(jid)
  redis.call('HDEL', PARKING, jid)
  return redis.call('ZREM', PARKED, jid)
end

-- An entry of `parking`, as a table and as text. In the text nothing is '-', for words are told apart by blanks.
local function read_parked(text)
  local agent, slots, lease, host, class, names, features = string.match(text,
    '^(%S+) (%d+) (%S+) (%S+) (%S+) (%S+) (.*)$')
  if not agent then
    return nil -- written by a program of another version
  end
  local free, others = string.match(features, '^free=(%S*) ?(.*)$')
  return {
    agent = agent, slots = tonumber(slots), lease = lease == '-' and '' or lease, host = host == '-' and '' or host,
    class = class == '-' and '' or class, names = names == '-' and '' or string.gsub(names, ',', ' '), features = others or features,
    free = read_free(free or '', tonumber(slots)),
  }
end

local function write_parked(jid, one)
  local words = {one.agent, string.format('%d', one.slots), one.lease, one.host, one.class}
  words[6] = string.gsub(one.names, ' ', ',')
  for i, word in ipairs(words) do
    words[i] = word == '' and '-' or word
  end
  words[7] = one.free.silent and one.features or 'free=' .. write_free(one.free) .. ' ' .. one.features
  redis.call('HSET', PARKING, jid, table.concat(words, ' '))
end

-- From now on the agent can take so many jobs.
local function park(jid, one)
  if one.slots <= 0 then
    unpark(jid)
    return
  end
  redis.call('ZADD', PARKED, now, jid)
  write_parked(jid, one)
end

-- Agents that have not shown up for long.
local function end_parking()
  local limit = {'LIMIT', 0, MOST_FORGOTTEN_AT_ONCE}
  for _, jid in ipairs(redis.call('ZRANGEBYSCORE', PARKED, '-inf', after(-PARKED_FOR), unpack(limit))) do
    unpark(jid)
  end
end

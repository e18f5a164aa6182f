-- Give the first waiting jobs of a group to an agent: as many as it wants, none if it is in quarantine (trial.lua).
--
-- Touches: request:<digest>, held:<digest>, queue:<group>, job:<id>, running, delayed, agents, trials, events.
-- Atomic because: a job must leave the queue and get its holder in one step, or two agents get it or none does;
-- and of two copies of one request, handled by two instances, the second must see what the first was given.
-- ARGV[2…]: agent, digest of the request, seconds to confirm, how many, group, seconds to remember the request,
-- digest of the full JID of an agent that takes one job at a time ('' for others), seconds to remember what it holds,
-- the lease in seconds ('' for an agent that renews none: it cannot keep the promise of an exclusive job, and gets none).
-- Returns five values a job: spec, attempt, time of the claim, the lease, '1' if the request had got it before.
--
-- A request that was given nothing is not remembered: its copy may find what has come meanwhile.

even_if_full()
local MOST_LEFT = 100
local agent, digest, limit, count, group, memory, holder, held_memory, lease = unpack(ARGV, 2)
local answer = {}

local function give(id, attempt, again)
  local spec, claimed, lasts = unpack(redis.call('HMGET', JOB .. id, 'spec', 'claimed', 'lease'))
  answer[#answer + 1] = spec
  answer[#answer + 1] = attempt
  answer[#answer + 1] = claimed
  answer[#answer + 1] = lasts or ''
  answer[#answer + 1] = again
end

local remembered = redis.call('GET', REQUEST .. digest)
if remembered and tonumber(now) - tonumber(string.match(remembered, '^%S+')) < tonumber(memory) then
  for id, attempt in string.gmatch(remembered, ' (%S+):(%d+)') do
    local state, current = unpack(redis.call('HMGET', JOB .. id, 'state', 'attempt'))
    if state == 'running' and current == attempt then
      give(id, attempt, '1')
    end
  end
  return answer
end

end_delays()
local left = {}

local function is_exclusive(id)
  return cjson.decode(redis.call('HGET', JOB .. id, 'spec')).exclusive
end

-- The first job that is not to be left to other agents.
local function take()
  while #left < MOST_LEFT do
    local entry, rank = unpack(redis.call('ZPOPMIN', QUEUE .. group))
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

local given = {now}
local deadline = after(tonumber(limit))
for _ = 1, allowance(agent, tonumber(count)) do
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
  if holder ~= '' then
    redis.call('SADD', HELD .. holder, id .. ':' .. attempt)
    redis.call('EXPIRE', HELD .. holder, held_memory)
  end
  event(id, 'claimed', attempt, agent, '', '')
  give(id, attempt, '')
  given[#given + 1] = id .. ':' .. attempt
end
for _, entry in ipairs(left) do
  redis.call('ZADD', QUEUE .. group, unpack(entry))
end
if #given > 1 then
  note_claim(agent, given[2])
  redis.call('SET', REQUEST .. digest, table.concat(given, ' '), 'EX', memory)
end
return answer

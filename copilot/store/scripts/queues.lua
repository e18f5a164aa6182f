-- Queues of waiting jobs: one for each group, that is, for jobs with the same requirements. The loader puts it in front of
-- the scripts that use it.
--
-- Jobs without requirements are the group ANY, and all else here is not about them. Any other group has a number, which is
-- never that of another one. `heads` has the first job of each queue as '<rank><place><number><group>', in 10, 16, 8 and 40
-- characters: so the groups stand there, by name, as their first jobs would in one queue, and a claim reads on until it
-- finds one that matches. A group that has no job left is not there; its number is remembered for a while.
--
-- `seen` says from where on: up to there no group matches, for each class of hosts that has asked. Heads only move back,
-- but for jobs that are new or come back: if one of them stands before any of these places, all are forgotten.
--
-- `attributes` are the names that requirements of groups with jobs use: what a host says under other names is of no
-- interest. When there is no such group, nobody asks for anything.

local ANY = 'any'
local FURTHEST = 'furthest'
local GROUP_MEMORY = 86400
local MOST_DELAYED_AT_ONCE = 100

-- The group of a job, its score in that queue, and its name there. Equal scores are ordered by name, and the place has
-- always 16 digits: priority first, then age, both exact. None of the three ever changes.
local function queue_entry(id)
  local group, rank, place = unpack(redis.call('HMGET', JOB .. id, 'group', 'rank', 'place'))
  return group, rank, place .. ':' .. id
end

-- The number of a group, nothing for one that is not known.
local function number_of(group)
  return string.match(redis.call('GET', GROUP .. group) or '', '^%d+')
end

-- How a head begins: what comes first has the smaller name. Ranks are between a thousand million below 0 and as many above.
local function order_of(entry, rank)
  return string.format('%010d', tonumber(rank) + 1000000000) .. string.sub(entry, 1, 16)
end

local function head_of(entry, rank, number, group)
  return string.format('%s%08d%s', order_of(entry, rank), number, group)
end

local function add_head(head)
  redis.call('ZADD', HEADS, 0, head)
  local furthest = redis.call('HGET', SEEN, FURTHEST)
  if furthest and head < furthest then
    redis.call('DEL', SEEN)
  end
end

local function add_attributes(names)
  local before = redis.call('GET', ATTRIBUTES) or ''
  local known, all, new = {}, {}, false
  for name in string.gmatch(names, '%S+') do
    new = new or not string.find(' ' .. before .. ' ', ' ' .. name .. ' ', 1, true)
  end
  if not new then
    return
  end
  for name in string.gmatch(before .. ' ' .. names, '%S+') do
    if not known[name] then
      known[name] = true
      all[#all + 1] = name
    end
  end
  table.sort(all)
  redis.call('SET', ATTRIBUTES, table.concat(all, ' '))
end

-- A group gets the job `id`, its only one. Returns its number.
local function open_group(group, id)
  local number = number_of(group)
  local spec, names = unpack(redis.call('HMGET', JOB .. id, 'spec', 'attributes'))
  if number then
    redis.call('PERSIST', GROUP .. group)
  else
    number = string.format('%d', redis.call('INCR', GROUPS))
    redis.call('SET', GROUP .. group, number .. ' ' .. cjson.decode(spec).requirements)
  end
  add_attributes(names)
  return number
end

-- A job with requirements has joined its queue.
local function note_arrival(group, id, entry, rank)
  if redis.call('ZRANGE', QUEUE .. group, 0, 0)[1] ~= entry then
    return
  end
  local second, second_rank = unpack(redis.call('ZRANGE', QUEUE .. group, 1, 1, 'WITHSCORES'))
  local number
  if second then
    number = number_of(group)
    redis.call('ZREM', HEADS, head_of(second, second_rank, number, group))
  else
    number = open_group(group, id)
  end
  add_head(head_of(entry, rank, number, group))
end

-- The first job of such a queue, under this head, has left.
local function note_departure(group, number, head)
  redis.call('ZREM', HEADS, head)
  local entry, rank = unpack(redis.call('ZRANGE', QUEUE .. group, 0, 0, 'WITHSCORES'))
  if entry then
    redis.call('ZADD', HEADS, 0, head_of(entry, rank, number, group))
    return
  end
  redis.call('EXPIRE', GROUP .. group, GROUP_MEMORY)
  if redis.call('EXISTS', HEADS) == 0 then
    redis.call('DEL', ATTRIBUTES, SEEN)
  end
end

local function enter_queue(group, id, entry, rank)
  redis.call('ZADD', QUEUE .. group, rank, entry)
  if group ~= ANY then
    note_arrival(group, id, entry, rank)
  end
end

local hinted = false

-- Jobs have joined queues. If agents are parked, the managers are told so on the channel that is called like their key.
local function hint()
  if not hinted and redis.call('EXISTS', PARKED) == 1 then
    redis.pcall('PUBLISH', PARKED, '') -- an account without rights on channels goes without hints
    hinted = true
  end
end

-- A job joins its queue.
local function put_in_queue(id)
  local group, rank, entry = queue_entry(id)
  redis.call('ZREM', DELAYED, id)
  enter_queue(group, id, entry, rank)
  enter_state(id, 'waiting')
  hint()
end

local function leave_queue(id)
  local group, rank, entry = queue_entry(id)
  local is_head = group ~= ANY and redis.call('ZRANGE', QUEUE .. group, 0, 0)[1] == entry
  redis.call('ZREM', QUEUE .. group, entry)
  redis.call('ZREM', DELAYED, id)
  if is_head then
    local number = number_of(group)
    note_departure(group, number, head_of(entry, rank, number, group))
  end
end

-- Jobs whose delay is over join the queue.
local function end_delays()
  for _, id in ipairs(redis.call('ZRANGEBYSCORE', DELAYED, '-inf', now, 'LIMIT', 0, MOST_DELAYED_AT_ONCE)) do
    put_in_queue(id)
  end
end

-- How many jobs are in queues.
local function in_queues()
  local jobs = redis.call('ZCARD', QUEUE .. ANY)
  for _, head in ipairs(redis.call('ZRANGE', HEADS, 0, -1)) do
    jobs = jobs + redis.call('ZCARD', QUEUE .. string.sub(head, 35))
  end
  return jobs
end

-- Queues of waiting jobs: one for each group, that is, for jobs that any agent that takes one of them takes alike (decision 20). The
-- loader puts it in front of the scripts that use it.
--
-- The name of a group is 27 digits that say what its jobs take of a host (packing.lua), `p`, `r` or `k`, 16 digits for owner and project, and
-- 20 characters for all that makes it this group. Names of older versions are ANY, for jobs without requirements, and 40 digits.
--
-- Groups without requirements are *plain*: any host will do, and nobody is asked about it. Their first jobs are in `plain-heads`, those of
-- all other groups in `heads`, as '<rank><place><number><group>': 10, 16, 8 characters, and the name. So groups stand there,
-- by name, as their first jobs would in one queue, and a claim reads on in both until it finds one that matches and fits. A group that
-- has no job left is not there. The number of one with requirements is never that of another one, and is remembered for a while; the
-- number of plain ones is 0 here, they get one when a host asks for some jobs only (`number_for`).
--
-- `seen` says from where on in `heads`: up to there no group matches, for each class of hosts that has asked. Heads only move back,
-- but for jobs that are new or come back: if one of them stands before any of these places, all are forgotten.
--
-- `attributes` are the names that requirements of groups with jobs use: what a host says under other names is of no
-- interest. When there is no such group, nobody asks for anything.

local ANY = 'any'
local GROUP_LENGTH = 64
local PLAIN, RANKED = string.byte('p'), string.byte('k')
local FURTHEST = 'furthest'
local GROUP_MEMORY = 86400
local MOST_DELAYED_AT_ONCE = 100

local function is_plain(group)
  return group == ANY or #group == GROUP_LENGTH and string.byte(group, 28) == PLAIN
end

-- Whether its jobs would rather have some hosts than others.
local function is_ranked(group)
  return #group == GROUP_LENGTH and string.byte(group, 28) == RANKED
end

-- Where the head of a group stands.
local function heads_of(group)
  return is_plain(group) and PLAIN_HEADS or HEADS
end

-- The group of a head.
local function group_of(head)
  return string.sub(head, 35)
end

-- The job of a queue's entry, or the range of an array.
local function id_of(entry)
  return string.sub(entry, 18)
end

-- The group of a job, its score in that queue, and its name there. Equal scores are ordered by name, and the place has
-- always 16 digits: priority first, then age, both exact. None of the three ever changes.
local function queue_entry(id)
  local group, rank, place = unpack(redis.call('HMGET', JOB .. id, 'group', 'rank', 'place'))
  return group, rank, place .. ':' .. id
end

-- The number of a group in its head, nothing for one that is not known.
local function number_of(group)
  return is_plain(group) and 0 or string.match(redis.call('GET', GROUP .. group) or '', '^%d+')
end

-- The number by which matches of a plain group are kept.
local function number_for(group)
  local number = string.match(redis.call('GET', GROUP .. group) or '', '^%d+')
  if not number then
    number = string.format('%d', redis.call('INCR', GROUPS))
    redis.call('SET', GROUP .. group, number .. ' ', 'EX', GROUP_MEMORY)
  end
  return tonumber(number)
end

-- How a head begins: what comes first has the smaller name. Ranks are between a thousand million below 0 and as many above.
local function order_of(entry, rank)
  return string.format('%010d', tonumber(rank) + 1000000000) .. string.sub(entry, 1, 16)
end

local function head_of(entry, rank, number, group)
  return string.format('%s%08d%s', order_of(entry, rank), number, group)
end

-- The first place of a rank at which a job waits in any queue, nothing if none does.
local function first_place(rank)
  local prefix, first = string.format('%010d', tonumber(rank) + 1000000000), nil
  for _, heads in ipairs({PLAIN_HEADS, HEADS}) do
    local head = redis.call('ZRANGEBYLEX', heads, '[' .. prefix, '+', 'LIMIT', 0, 1)[1]
    if head and string.sub(head, 1, 10) == prefix and (not first or head < first) then
      first = head
    end
  end
  return first and string.sub(first, 11, 26)
end

local function add_head(head, plain)
  redis.call('ZADD', plain and PLAIN_HEADS or HEADS, 0, head)
  if plain then
    return
  end
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

-- A group with requirements gets the job `id`, its only one. Returns its number.
local function open_group(group, id)
  local number = number_of(group)
  local spec, names, needs = unpack(redis.call('HMGET', record_of(id), 'spec', 'attributes', 'needs'))
  if number then
    redis.call('PERSIST', GROUP .. group)
  else
    number = string.format('%d', redis.call('INCR', GROUPS))
    redis.call('SET', GROUP .. group, number .. ' ' .. (needs or cjson.decode(spec).requirements))
  end
  add_attributes(names)
  return number
end

-- A job has joined its queue.
local function note_arrival(group, id, entry, rank)
  local first, _, second, second_rank = unpack(redis.call('ZRANGE', QUEUE .. group, 0, 1, 'WITHSCORES'))
  if first ~= entry then
    return
  end
  local plain, number = is_plain(group), 0
  if second then
    number = number_of(group)
    redis.call('ZREM', heads_of(group), head_of(second, second_rank, number, group))
  elseif not plain then
    number = open_group(group, id)
  end
  add_head(head_of(entry, rank, number, group), plain)
end

-- The first job of a queue, under this head, has left.
local function note_departure(group, number, head)
  local heads = heads_of(group)
  redis.call('ZREM', heads, head)
  local entry, rank = unpack(redis.call('ZRANGE', QUEUE .. group, 0, 0, 'WITHSCORES'))
  if entry then
    redis.call('ZADD', heads, 0, head_of(entry, rank, number, group))
  elseif heads == HEADS then
    redis.call('EXPIRE', GROUP .. group, GROUP_MEMORY)
    if redis.call('EXISTS', HEADS) == 0 then
      redis.call('DEL', ATTRIBUTES, SEEN)
    end
  end
end

local function enter_queue(group, id, entry, rank)
  redis.call('ZADD', QUEUE .. group, rank, entry)
  note_arrival(group, id, entry, rank)
end

-- A program of an older version puts jobs without requirements on their queue, and knows nothing of heads of it.
local function mind_older()
  local entry, rank = unpack(redis.call('ZRANGE', QUEUE .. ANY, 0, 0, 'WITHSCORES'))
  if entry then
    redis.call('ZADD', PLAIN_HEADS, 0, head_of(entry, rank, 0, ANY))
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
  local is_head = redis.call('ZRANGE', QUEUE .. group, 0, 0)[1] == entry
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

-- All groups that have jobs, those without requirements first, in the order of their first jobs; the old one at the latest.
local function groups_with_jobs()
  local groups, known = {}, {}
  for _, heads in ipairs({PLAIN_HEADS, HEADS}) do
    for _, head in ipairs(redis.call('ZRANGE', heads, 0, -1)) do
      local group = group_of(head)
      if not known[group] then
        known[group] = true
        groups[#groups + 1] = group
      end
    end
  end
  if not known[ANY] and redis.call('EXISTS', QUEUE .. ANY) == 1 then
    groups[#groups + 1] = ANY
  end
  return groups
end

-- Whether any job is in a queue.
local function anything_waits()
  return redis.call('EXISTS', PLAIN_HEADS, HEADS, QUEUE .. ANY) > 0
end

-- How many jobs are in the queue of a group.
local function number_of_jobs(group)
  return redis.call('ZCARD', QUEUE .. group) + tonumber(redis.call('HGET', IN_RANGES, 'queue:' .. group) or 0)
end

-- How many jobs are in queues: entries, and what ranges have beside.
local function in_queues()
  local jobs, more = 0, redis.call('HGETALL', IN_RANGES)
  for _, group in ipairs(groups_with_jobs()) do
    jobs = jobs + redis.call('ZCARD', QUEUE .. group)
  end
  for i = 1, #more, 2 do
    if string.find(more[i], 'queue:', 1, true) == 1 then
      jobs = jobs + tonumber(more[i + 1])
    end
  end
  return jobs
end

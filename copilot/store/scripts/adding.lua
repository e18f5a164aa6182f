-- New jobs. The loader puts it in front of the scripts that use it.

local MOST_SHARES = 100

local turns_of = {} -- of owners who have submitted

-- How far it is from one such job to the next: whole numbers from 1, so that the places of many stand at equal distances.
local function step_of(owner, project, cores)
  local shares = 1
  if redis.call('EXISTS', SHARES) == 1 then
    shares = math.min(MOST_SHARES, shares_of('owner:' .. owner) * shares_of('project:' .. project))
  end
  return math.max(1, math.floor(TURN * cores / shares + 0.5))
end

-- The places of `count` jobs in a row: that of the first one, 16 digits, and how far it is from each to the next. Whoever has placed all
-- that is submitted together calls `write_places`.
local function next_places(owner, project, rank, cores, count)
  local ends = turns_of[owner] or read_turns(owner)
  turns_of[owner] = ends
  local step, number = step_of(owner, project, cores), redis.call('INCR', SEQUENCE)
  -- The first turns of a rank come after the places that older versions gave, which were these numbers.
  redis.call('HSETNX', STARTED, rank, string.format('%.0f', math.ceil((number - 1) / TIES)))
  local from = math.max(started_of(rank), ends[rank] or 0)
  ends[rank] = from + step * count
  return string.format('%016.0f', from * TIES + number % TIES), step * TIES
end

local function write_places()
  for owner, ends in pairs(turns_of) do
    write_turns(owner, ends)
  end
end

-- A new job: its record, its place in the queue, its first event. Its id is free, and has been checked. `attributes` are
-- those that its requirements name, '' for a job without; `needs` all of these, '' if it says them itself; `awaits`: what it waits for (blocking.lua), `size`: 0, or the number of
-- elements of an array; `prefers`: its rank of hosts, '' for none; `hold`: why it is held from the beginning, '' if it is not. Whoever adds jobs calls
-- `write_places` and `hint` at the end.
local function add_job(id, spec, group, rank, max_attempts, max_user_attempts, max_run_time, attributes, needs, owner, project, cores, awaits, size, prefers, hold)
  size = tonumber(size)
  local place, step = next_places(owner, project, rank, tonumber(cores), math.max(1, size))
  local written = event(id, 'submitted', '0', '', '', size > 0 and '[0:' .. size .. ']' or '')
  local fields = {'spec', spec, 'group', group, 'rank', rank, 'place', place, 'max_attempts', max_attempts,
    'max_user_attempts', max_user_attempts, 'max_run_time', max_run_time, 'submitted', now, 'first_event', written[1],
    'state', 'waiting', 'attempt', 0, 'attempts_used', 0, 'owner', owner}
  for name, value in pairs({attributes = attributes, needs = needs, project = project, prefers = prefers}) do
    if value ~= '' then
      fields[#fields + 1] = name
      fields[#fields + 1] = value
    end
  end
  if size > 0 then
    local state = begin_waiting(id, awaits) and 'blocked' or 'waiting'
    state = hold ~= '' and 'held' or state
    redis.call('HSET', ARRAY .. id, 'size', size, 'step', step, 'n:' .. state, size, unpack(fields))
    redis.call('HDEL', ARRAY .. id, 'state', 'attempt', 'attempts_used')
    count_owner(owner, (OF_QUEUE[state] or 0) * size, 0)
    arrays[id] = nil
    add_part(read_array(id), 0, size, state, state == 'waiting' and '' or now, '')
    if hold ~= '' then
      event(id, 'held', '0', '', '', '[0:' .. size .. '] ' .. hold)
    end
    return
  end
  note_number(id)
  redis.call('HSET', JOB .. id, unpack(fields))
  local waits = begin_waiting(id, awaits)
  if hold ~= '' then -- counted for its owner when it is released
    redis.call('HSET', JOB .. id, 'state', 'held')
    redis.call('ZADD', ON_HOLD, now, id)
    event(id, 'held', '0', '', '', hold)
    return
  end
  count_owner(owner, 1, 0)
  if waits then
    redis.call('HSET', JOB .. id, 'state', 'blocked')
    redis.call('ZADD', BLOCKED, now, id)
  else
    enter_queue(group, id, place .. ':' .. id, rank)
  end
end

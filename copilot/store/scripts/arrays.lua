-- Arrays: many jobs that are one entry of the queue (decision 21). The loader puts it in front of the scripts that use it.
--
-- `array:<id>` has what its elements have in common, their number, and how many are in each state (`n:<state>`). An element that was
-- claimed once is a job like any other. Of all others, and of no other, `parts:<id>` has *parts*: ranges of elements that are in one state, as
-- '<from>:<to>:<state>:<since>:<outcome>', without `to`, by `from`; nobody ever wrote an outcome but for cancelled ones. Each part has one entry
-- in the queue or index of its state, '+<id>/<from, 7 digits>-<to>'; in `in-ranges` stands for each of these how many elements there are beside
-- one for each entry. Parts beside each other that say the same are one.

local LOOKED_AT_OF_OLD = 100

local arrays = {} -- that were read

local INDEX_OF = {held = ON_HOLD, blocked = BLOCKED, cancelled = CANCELLED}

local function is_range(name)
  return string.byte(name) == 43 -- '+'
end

-- Array, first element, and the one behind the last.
local function read_range(name)
  local id, from, to = string.match(name, '^%+(.*)/(%d+)-(%d+)$')
  return id, tonumber(from), tonumber(to)
end

local function range_name(id, from, to)
  return string.format('+%s/%07d-%d', id, from, to)
end

-- How many jobs an entry stands for.
local function jobs_of(name)
  if not is_range(name) then
    return 1
  end
  local _, from, to = read_range(name)
  return to - from
end

-- What the array is, nothing if there is none.
local function read_array(id)
  if arrays[id] == nil then
    local values = redis.call('HMGET', ARRAY .. id, 'group', 'rank', 'place', 'step', 'size', 'owner', 'spec')
    arrays[id] = values[1] and {
      id = id, group = values[1], rank = values[2], place = tonumber(values[3]), step = tonumber(values[4]), size = tonumber(values[5]),
      owner = values[6], spec = values[7],
    } or false
  end
  return arrays[id] or nil
end

-- Name of an array and number that an id would have as an element, nothing for others.
local function element_name(id)
  local name, index = string.match(id, '^(.+)%.(%d+)$')
  if name and #index < 7 and (index == '0' or string.byte(index) ~= 48) then
    return name, tonumber(index)
  end
  return nil
end

-- The array and the number of an element; nothing for what is none, whether it is a job or not.
local function find_element(id)
  local name, index = element_name(id)
  local array = name and read_array(name)
  if array and index < array.size then
    return array, index
  end
  return nil
end

-- A job that is called as an element would be is in the way of an array of that name.
local function note_number(id)
  local name, index = element_name(id)
  if name then
    redis.call('ZADD', NUMBERED .. name, index, id)
  end
end

local function forget_number(id)
  local name = element_name(id)
  if name then
    redis.call('ZREM', NUMBERED .. name, id)
  end
end

-- Whether a job, or an array of so many elements, may not have this id: the id of the first job that has one of its names.
local function taken_by(id, size)
  if find_element(id) then
    return id
  end
  if size == 0 then
    return redis.call('EXISTS', ARRAY .. id) == 1 and id or nil
  end
  if redis.call('EXISTS', JOB .. id) == 1 then
    return id
  end
  for i = 0, math.min(size, LOOKED_AT_OF_OLD) - 1 do -- versions before arrays noted no numbers
    if redis.call('EXISTS', JOB .. id .. '.' .. i) == 1 then
      return id .. '.' .. i
    end
  end
  return redis.call('ZRANGEBYSCORE', NUMBERED .. id, 0, size - 1, 'LIMIT', 0, 1)[1]
end

local function place_of(array, index)
  return string.format('%016.0f', array.place + index * array.step)
end

local function read_part(text)
  local from, to, state, since, outcome = string.match(text, '^(%d+):(%d+):(%a+):([^:]*):(.*)$')
  return {from = tonumber(from), to = tonumber(to), state = state, since = since, outcome = outcome}
end

local function write_part(part)
  return string.format('%d:%d:%s:%s:%s', part.from, part.to, part.state, part.since, part.outcome)
end

-- The part that has this element, or the first one behind it.
local function part_at(array, index)
  local before = redis.call('ZREVRANGEBYSCORE', PARTS .. array.id, index, '-inf', 'LIMIT', 0, 1)[1]
  local part = before and read_part(before)
  if part and index < part.to then
    return part
  end
  local next_one = redis.call('ZRANGEBYSCORE', PARTS .. array.id, '(' .. index, '+inf', 'LIMIT', 0, 1)[1]
  return next_one and read_part(next_one)
end

-- The part that has this element.
local function part_of(array, index)
  local part = part_at(array, index)
  return part and part.from <= index and part or nil
end

-- What the elements of an entry are counted under, beside one for each entry.
local function counted_as(array, state)
  return state == 'waiting' and 'queue:' .. array.group or state
end

local function count_beside(array, state, number)
  if number ~= 0 and redis.call('HINCRBY', IN_RANGES, counted_as(array, state), number) <= 0 then
    redis.call('HDEL', IN_RANGES, counted_as(array, state))
  end
end

-- How many jobs an index has.
local function number_in(index, state)
  return redis.call('ZCARD', index) + tonumber(redis.call('HGET', IN_RANGES, state) or 0)
end

local function leave_index(array, part)
  local name = range_name(array.id, part.from, part.to)
  if part.state == 'waiting' then
    local entry = place_of(array, part.from) .. ':' .. name
    local is_head = redis.call('ZRANGE', QUEUE .. array.group, 0, 0)[1] == entry
    redis.call('ZREM', QUEUE .. array.group, entry)
    if is_head then
      local number = number_of(array.group)
      note_departure(array.group, number, head_of(entry, array.rank, number, array.group))
    end
  else
    redis.call('ZREM', INDEX_OF[part.state], name)
  end
  count_beside(array, part.state, part.from - part.to + 1)
end

local function enter_index(array, part)
  local name = range_name(array.id, part.from, part.to)
  count_beside(array, part.state, part.to - part.from - 1)
  if part.state == 'waiting' then
    enter_queue(array.group, name, place_of(array, part.from) .. ':' .. name, array.rank)
  else
    redis.call('ZADD', INDEX_OF[part.state], part.since, name)
  end
end

local function drop_part(array, part)
  redis.call('ZREM', PARTS .. array.id, write_part(part))
  leave_index(array, part)
end

-- A part is there from now on; with those beside it that say the same it is one.
local function add_part(array, from, to, state, since, outcome)
  for _, at in ipairs({from - 1, to}) do
    local part = at >= 0 and at < array.size and part_of(array, at)
    if part and part.state == state and part.since == since and part.outcome == outcome then
      drop_part(array, part)
      from, to = math.min(from, part.from), math.max(to, part.to)
    end
  end
  local part = {from = from, to = to, state = state, since = since, outcome = outcome}
  redis.call('ZADD', PARTS .. array.id, from, write_part(part))
  enter_index(array, part)
end

-- These elements are not in `part` any more.
local function cut_out(array, part, from, to)
  drop_part(array, part)
  if part.from < from then
    add_part(array, part.from, from, part.state, part.since, part.outcome)
  end
  if to < part.to then
    add_part(array, to, part.to, part.state, part.since, part.outcome)
  end
end

-- The first element of an entry that was just taken off its queue leaves the part, and is a job of its own, in the state that it was in. Its
-- queue is without it; the rest of the part is there again. Returns its id.
local function take_first(name, entry)
  local id, from, to = read_range(name)
  local array = read_array(id)
  local job = id .. '.' .. from
  redis.call('ZREMRANGEBYSCORE', PARTS .. id, from, from)
  if from + 1 < to then
    local part = {from = from + 1, to = to, state = 'waiting', since = '', outcome = ''}
    local rest = range_name(id, from + 1, to)
    redis.call('ZADD', PARTS .. id, from + 1, write_part(part))
    redis.call('ZADD', QUEUE .. array.group, array.rank, place_of(array, from + 1) .. ':' .. rest)
    count_beside(array, 'waiting', -1)
  end
  array.fields = array.fields or redis.call('HGETALL', ARRAY .. id)
  local fields = {
    'state', 'waiting', 'attempt', 0, 'attempts_used', 0, 'array', id, 'place', string.sub(entry, 1, 16), 'spec',
    string.format('{"id":"%s","index":%d', job, from) .. string.sub(array.spec, #id + 9),
  }
  for i = 1, #array.fields, 2 do
    local field = array.fields[i]
    if field ~= 'spec' and field ~= 'place' and field ~= 'step' and field ~= 'size' and field ~= 'finished' and field ~= 'unblocked' and string.find(field, '^[%l_]+$') then
      fields[#fields + 1] = field
      fields[#fields + 1] = array.fields[i + 1]
    end
  end
  redis.call('HSET', JOB .. job, unpack(fields))
  return job
end

-- So many elements that no agent ever had go to another state.
local function count_moved(array, before, state, number)
  count_elements(array.id, before, state, number)
  count_owner(array.owner, ((OF_QUEUE[state] or 0) - (OF_QUEUE[before] or 0)) * number, 0)
end

-- Elements of a part go to another state.
local function move_elements(array, part, from, to, state, since, outcome)
  cut_out(array, part, from, to)
  add_part(array, from, to, state, since, outcome)
  count_moved(array, part.state, state, to - from)
end

-- How many elements are in each state; nothing if there is no such array.
local function count_of(id)
  local values = redis.call('HMGET', ARRAY .. id, 'size', 'n:waiting', 'n:running', 'n:blocked', 'n:held', 'n:failed', 'n:cancelled', 'n:done')
  for i, value in ipairs(values) do
    values[i] = tonumber(value or 0)
  end
  return values[1] > 0 and values or nil
end

local STATES = {'', 'waiting', 'running', 'blocked', 'held', 'failed', 'cancelled', 'done'}

-- The state of a job or an array, nothing for what is neither. An array is running if an element is, else waiting, blocked or held if one
-- is, else failed or cancelled.
local function state_of(id)
  local state = redis.call('HGET', JOB .. id, 'state')
  local counts = not state and count_of(id)
  if not counts then
    return state or nil
  end
  for _, i in ipairs({3, 2, 4, 5, 6, 7}) do
    if counts[i] > 0 then
      return STATES[i]
    end
  end
  return 'done'
end

-- One element more is forgotten, and with the last one the array.
local function forget_element(id)
  if redis.call('HINCRBY', ARRAY .. id, 'n:removed', 1) == tonumber(redis.call('HGET', ARRAY .. id, 'size')) then
    redis.call('DEL', ARRAY .. id, PARTS .. id)
    return true
  end
  return false
end

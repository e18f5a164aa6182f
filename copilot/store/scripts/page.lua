-- Read a page of the jobs in one state.
--
-- Touches (reads): job:<id>, array:<id>, parts:<id>, in-ranges, queue:<group>, heads, plain-heads, attempts:<id>, running,
-- done, failed, cancelled, on-hold, blocked, delayed.
-- Atomic because: indexes and records are read in one step and one round trip.
-- ARGV[2…]: state, how many to leave out, how many to read; then, for a state with the newest first, the time and the id
-- behind which to begin ('' for the first page); and '1' if each array is one row, for the first of its elements. Returns how many jobs there
-- are in all, and seven values a job: id, owner, attempt, agent, since when, cause, and its score; and, where arrays are rows and the state is
-- not `waiting`, behind which place to go on ('': this was the end).
--
-- Jobs that wait come as they are claimed, then those that are delayed; running ones by their deadlines; all others with the
-- newest first.

local state, skip, count, time, last = ARGV[2], tonumber(ARGV[3]), tonumber(ARGV[4]), ARGV[5], ARGV[6]
local whole = ARGV[7] == '1'
local LARGEST_CHUNK = 64 -- entries of a queue that are read at once
local MOST_AT_ONCE = 1000 -- jobs that ended in the same microsecond

-- A queue that is being read; `order` says where its next job, `entry`, stands among those of the others. More is read each
-- time, for the more it has given the more it will give. A range of an array is read by itself, behind its first element.
local function go_on(reading)
  if reading.array then
    local more = reading.index + 1 < reading.to
    reading.index = reading.index + 1
    reading.order = more and order_of(place_of(reading.array, reading.index), reading.array.rank)
    return more
  end
  local at = reading.at + 2
  if at > #reading.entries then
    reading.entries = redis.call('ZRANGE', reading.queue, reading.read, reading.read + reading.chunk - 1, 'WITHSCORES')
    reading.read, reading.chunk, at = reading.read + reading.chunk, math.min(2 * reading.chunk, LARGEST_CHUNK), 1
  end
  reading.at = at
  local entry = reading.entries[at]
  reading.order = entry and order_of(entry, reading.entries[at + 1])
  return entry
end

-- The job that is next in it.
local function job_of(reading)
  local name = not reading.array and id_of(reading.entries[reading.at])
  if name and not is_range(name) then
    return name
  end
  local id, index = reading.array and reading.array.id, reading.index
  if name then
    id, index = read_range(name)
  end
  return id .. '.' .. index
end

-- The entries of an array that has its row are passed over. False at the end of the queue, or where so many stand that nobody reads on.
local function pass_over(reading, beginning)
  local entries, at, width = reading.entries, reading.at, 2 -- with scores, then without
  repeat
    while at <= #entries do
      if string.find(entries[at], beginning, 18, true) ~= 18 then
        reading.read = reading.read - (#entries - at + 1) / width
        reading.entries, reading.at = {}, 1
        return go_on(reading)
      end
      at, passed_over = at + width, passed_over + 1
    end
    entries, at, width = redis.call('ZRANGE', reading.queue, reading.read, reading.read + LARGEST_READ - 1), 1, 1
    reading.read = reading.read + #entries
  until #entries == 0 or passed_over > MOST_PASSED_OVER
  return false
end

-- Go on to what may be a row.
local function go_on_to_row(reading)
  local more = go_on(reading)
  while whole and more and is_range(id_of(more)) and met[family_of(id_of(more))] do
    more = passed_over <= MOST_PASSED_OVER and pass_over(reading, beginning_of(id_of(more)))
  end
  return more
end

-- Behind the first element of a range come the others: they are to be read, too.
local function rest_of(reading)
  local name = not reading.array and id_of(reading.entries[reading.at])
  if not name or not is_range(name) then
    return nil
  end
  local id, from, to = read_range(name)
  local rest = {array = read_array(id), index = from, to = to}
  return go_on(rest) and rest or nil
end

local function begin(group)
  return {queue = QUEUE .. group, entries = {}, at = 1, read = 0, chunk = 2}
end

local function sift_down(heap, at)
  while true do
    local least = at
    for child = 2 * at, math.min(2 * at + 1, #heap) do
      least = heap[child].order < heap[least].order and child or least
    end
    if least == at then
      return
    end
    heap[at], heap[least], at = heap[least], heap[at], least
  end
end

local function sift_up(heap, at)
  while at > 1 do
    local parent = math.floor(at / 2)
    if heap[parent].order <= heap[at].order then
      return
    end
    heap[at], heap[parent], at = heap[parent], heap[at], parent
  end
end

-- Queues that are to be read, each at the place of its head, which says where it stands: so nothing is read of a queue whose turn does
-- not come.
local function begin_all()
  local heap, known = {}, {}
  for _, heads in ipairs({PLAIN_HEADS, HEADS}) do
    for _, head in ipairs(redis.call('ZRANGE', heads, 0, skip + count - 1)) do
      local reading = begin(group_of(head))
      reading.order = string.sub(head, 1, 26)
      known[reading.queue] = true
      heap[#heap + 1] = reading
    end
  end
  local any = begin(ANY) -- an older version may have filled it
  if not known[any.queue] and go_on(any) then
    heap[#heap + 1] = any
  end
  return heap
end

-- The first jobs of all queues together, without the first `skip`; and how many jobs were looked at.
local function first_of_queues()
  local heap, ids, looked_at = begin_all(), {}, 0
  for at = math.floor(#heap / 2), 1, -1 do
    sift_down(heap, at)
  end
  while #heap > 0 and looked_at < skip + count do
    local first, rest = heap[1], nil
    if first.array or #first.entries > 0 or go_on(first) then
      if not whole or is_row(id_of(first.entries[first.at])) then
        looked_at = looked_at + 1
        if looked_at > skip then
          ids[#ids + 1] = job_of(first)
        end
      end
      rest = not whole and rest_of(first)
    end
    if not go_on_to_row(first) then
      heap[1] = heap[#heap]
      heap[#heap] = nil
    end
    sift_down(heap, 1)
    if rest then
      heap[#heap + 1] = rest
      sift_up(heap, #heap)
    end
  end
  return ids, looked_at
end

local function waiting_ids()
  local ids, looked_at = first_of_queues()
  if looked_at >= skip + count then
    return ids
  elseif whole then
    local delayed = rows_of(DELAYED, false, 0, nil, skip + count - looked_at)
    for i = 1 + 2 * math.max(0, skip - looked_at), #delayed, 2 do
      ids[#ids + 1] = delayed[i]
    end
  else
    local from = math.max(0, skip - looked_at)
    for _, id in ipairs(redis.call('ZRANGE', DELAYED, from, from + count - #ids - 1)) do
      ids[#ids + 1] = id
    end
  end
  return ids
end

local INDEX = {running = RUNNING, held = ON_HOLD, blocked = BLOCKED, done = DONE, failed = FAILED, cancelled = CANCELLED}

-- The entry of `last`, and what is left of it behind that; its name as it sorts, if it is gone.
local function entry_of_last(index)
  if redis.call('ZSCORE', index, last) then
    return last
  end
  local array, number = find_element(last)
  local part = array and part_of(array, number)
  local name = part and part.state == state and range_name(array.id, part.from, part.to)
  if name and tonumber(redis.call('ZSCORE', index, name) or -1) == tonumber(time) then
    return name, {array.id, part.from, number}
  end
  return array and redis.call('EXISTS', JOB .. last) == 0 and range_name(array.id, number, number) or last
end

-- How many entries stand before the place of one that is gone.
local function number_before(index, name)
  local number = redis.call('ZCOUNT', index, '(' .. time, '+inf')
  for _, id in ipairs(redis.call('ZREVRANGEBYSCORE', index, time, time, 'LIMIT', 0, MOST_AT_ONCE)) do
    number = id > name and number + 1 or number
  end
  return number
end

-- Jobs of entries, with their scores; of ranges the last elements first.
local function jobs_in(entries, begun)
  local found = {}
  local function append(id, from, to, score)
    for i = to - 1, from, -1 do
      if #found >= 2 * count then
        return
      end
      found[#found + 1] = id .. '.' .. i
      found[#found + 1] = score
    end
  end
  if begun then
    append(begun[1], begun[2], begun[3], time)
  end
  for i = 1, #entries, 2 do
    if is_range(entries[i]) then
      local id, from, to = read_range(entries[i])
      append(id, from, to, entries[i + 1])
    elseif #found < 2 * count then
      found[#found + 1] = entries[i]
      found[#found + 1] = entries[i + 1]
    end
  end
  return found
end

-- Where in an index to begin, and what is left of a range that stands before.
local function begin_in(index)
  if last == '' then
    return 0
  end
  local name, begun = entry_of_last(index)
  local rank = redis.call('ZREVRANK', index, name)
  return rank and rank + 1 or number_before(index, name), begun
end

-- Ids, and when the jobs entered the index.
local function indexed_ids(index)
  if state == 'running' then
    return redis.call('ZRANGE', index, skip, skip + count - 1, 'WITHSCORES')
  end
  local from, begun = begin_in(index)
  return jobs_in(redis.call('ZREVRANGE', index, from, from + count - 1, 'WITHSCORES'), begun)
end

-- The same with each array as one, by its first element there; and behind which place to go on.
local function indexed_rows(index)
  local running, from, begun = state == 'running', skip, nil
  if not running then
    from, begun = begin_in(index)
    begun = begun and begun[2] < begun[3] and {range_name(unpack(begun)), time}
  end
  local found, number, last_name, score = rows_of(index, not running, from, begun, count)
  for i = 1, #found, 2 do
    if is_range(found[i]) then
      local id, _, to = read_range(found[i])
      found[i] = id .. '.' .. to - 1
    end
  end
  if not last_name then
    return found, ''
  elseif running then
    return found, string.format('%d', skip + number)
  elseif is_range(last_name) then
    local id, first = read_range(last_name)
    last_name = id .. '.' .. first
  end
  return found, score .. ':' .. last_name
end

-- When a job that waits began to.
local function waits_since(id, submitted)
  local ended = redis.call('LINDEX', ATTEMPTS .. id, -1)
  return ended and exact(cjson.decode(ended).ended) or submitted
end

local answer = {}

-- An element that no agent ever had.
local function append_element(id, score)
  local array = find_element(id)
  local owner, submitted = unpack(array and redis.call('HMGET', ARRAY .. array.id, 'owner', 'submitted') or {})
  if owner then
    local cause = state == 'cancelled' and state or ''
    for _, value in ipairs({id, owner, 0, '', score or submitted, cause, score or ''}) do
      answer[#answer + 1] = value
    end
  end
end

local function append_row(id, score)
  local owner, attempt, agent, submitted, claimed, outcome =
    unpack(redis.call('HMGET', JOB .. id, 'owner', 'attempt', 'agent', 'submitted', 'claimed', 'outcome'))
  if not attempt then
    return append_element(id, score)
  end
  local since = state == 'running' and claimed or score or waits_since(id, submitted)
  local over = state == 'done' or state == 'failed' or state == 'cancelled'
  local cause = over and outcome and cjson.decode(outcome).cause or ''
  for _, value in ipairs({id, owner or owner_in_spec(id), attempt, agent or '', since, cause, score or ''}) do
    answer[#answer + 1] = value
  end
end

if state == 'waiting' then
  for _, id in ipairs(waiting_ids()) do
    append_row(id)
  end
  return {in_queues() + redis.call('ZCARD', DELAYED), answer}
end
local index = INDEX[state]
local found, place = (whole and indexed_rows or indexed_ids)(index)
for i = 1, #found, 2 do
  append_row(found[i], found[i + 1])
end
return {number_in(index, state), answer, place or ''}

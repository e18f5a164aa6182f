-- Read how one job stands: what keeps it, which jobs come before it, and how fast jobs are started.
--
-- Touches (reads): job:<id>, array:<id>, parts:<id>, in-ranges, queue:<group>, heads, plain-heads, group:<group>,
-- passed-over, running, cancelling, on-hold, delayed, events, hosts, parked, draining, trials, set-aside, accounts.
-- Atomic because: places in several queues mean something at one time only.
-- ARGV[2…]: id; of how many groups that come before it jobs are counted; how many events are read, and how many seconds back.
-- Returns nothing if there is no such job, else: the time; state, until when it is delayed, since when held, deadline, since when somebody wants it to
-- end, lease, when it was confirmed, phase, '1' if its agent seems to have lost it, where it failed, and when last, how
-- many jobs of its group come before it ('' if it is in no queue; 'none' is '' everywhere); how many more groups there are that were
-- not looked at; requirements and number of jobs before it of those that were, by turns; how many jobs were started lately, how many
-- of them of its group, and in how many seconds since the first of these starts; and, if it is the first of its group and did not
-- fit, its entry of `passed-over`.

local MOST_RANGES = 1000 -- entries of a queue of which the elements are counted
local EVENTS_AT_ONCE = 50
local id, most_groups, most_events, span = ARGV[2], tonumber(ARGV[3]), tonumber(ARGV[4]), tonumber(ARGV[5])
local state, attempt, group, lease, confirmed, phase, suspected, places, struck =
  unpack(redis.call('HMGET', JOB .. id, 'state', 'attempt', 'group', 'lease', 'confirmed', 'phase', 'suspected', 'failed_at', 'struck'))
local array, index = nil, nil
if not state then -- an element that no agent ever had
  array, index = find_element(id)
  local part = array and part_of(array, index)
  if not part then
    return {}
  end
  id = range_name(array.id, part.from, part.to)
  state, attempt, group = part.state, '0', array.group
end

-- How many elements of ranges come before the place of this job, beside one for each that begins before it.
local function number_in_ranges(entries, rank, place)
  local number = 0
  for _, entry in ipairs(entries) do
    local name = id_of(entry)
    if is_range(name) then
      local whose, first, last = read_range(name)
      local range = read_array(whose)
      local till = last
      if range.rank == rank then
        till = math.min(last, math.ceil((tonumber(place) - range.place) / range.step))
      end
      number = number + till - first - 1
    end
  end
  return number
end

-- How many jobs of the queue of a group come before the place of this one.
local function number_before(one, rank, place)
  local queue = QUEUE .. one
  local low = redis.call('ZCOUNT', queue, '-inf', '(' .. rank)
  local high = low + redis.call('ZCOUNT', queue, rank, rank)
  while low < high do
    local middle = math.floor((low + high) / 2)
    if string.sub(redis.call('ZRANGE', queue, middle, middle)[1], 1, 16) < place then
      low = middle + 1
    else
      high = middle
    end
  end
  if low > 0 and redis.call('HEXISTS', IN_RANGES, 'queue:' .. one) == 1 then
    low = low + number_in_ranges(redis.call('ZRANGE', queue, 0, math.min(low, MOST_RANGES) - 1), rank, place)
  end
  return low
end

-- The first heads before this place, one more than are wanted, and how many there are.
local function heads_before(order)
  local found, all = {}, 0
  for _, key in ipairs({PLAIN_HEADS, HEADS}) do
    all = all + redis.call('ZLEXCOUNT', key, '-', order)
    for _, head in ipairs(redis.call('ZRANGEBYLEX', key, '-', order, 'LIMIT', 0, most_groups + 1)) do
      found[#found + 1] = head
    end
  end
  table.sort(found)
  return found, all
end

local own, more, others = '', 0, {}
local rank, entry
if array then
  rank, entry = array.rank, place_of(array, index)
else
  group, rank, entry = queue_entry(id)
end
if state == 'waiting' and (array or redis.call('ZSCORE', QUEUE .. group, entry)) then
  local place = string.sub(entry, 1, 16)
  local heads, all = heads_before('(' .. order_of(entry, rank))
  own = number_before(group, rank, place)
  more = all - (own > 0 and 1 or 0)
  for _, head in ipairs(heads) do
    local one = group_of(head)
    if one ~= group and #others < 2 * most_groups then
      others[#others + 1] = string.match(redis.call('GET', GROUP .. one) or '', '^%d+ (.*)$') or ''
      others[#others + 1] = number_before(one, rank, place)
    end
  end
  more = more - #others / 2
end

local began, all, of_group = tonumber(now), 0, 0

-- Take down starts among these events, the last first. Whether older ones may count.
local function note_starts(entries)
  for _, one in ipairs(entries) do
    local time, job, kind = tonumber(one[2][2]), one[2][4], one[2][6]
    if time < tonumber(now) - span then
      return false
    end
    if kind == 'claimed' then
      all, began = all + 1, time
      of_group = of_group + (redis.call('HGET', JOB .. job, 'group') == group and 1 or 0)
    end
  end
  return #entries > 0
end

local left, before = state == 'waiting' and most_events or 0, '+'
while left > 0 do -- in parts: where little has happened, few are read
  local entries = redis.call('XREVRANGE', EVENTS, before, '-', 'COUNT', math.min(left, EVENTS_AT_ONCE))
  left = note_starts(entries) and left - #entries or 0
  before = left > 0 and '(' .. entries[#entries][1]
end
local passed = redis.call('HGET', PASSED_OVER, group or '')
if not passed or state ~= 'waiting' or string.sub(passed, 1, 26) ~= order_of(entry, rank) then
  passed = ''
end
local first, since, till, whose = read_passed(passed)
if first and not (is_kept_till(till) and may_be_kept(whose)) then
  passed = string.format('%s %s 0 ', first, since)
end
local function score(key)
  return redis.call('ZSCORE', key, id) or ''
end
return {
  now, state, score(DELAYED), score(ON_HOLD), score(RUNNING), score(CANCELLING), lease or '', confirmed or '',
  phase or '', suspected == attempt and '1' or '', places or '', struck or '', own, more, others, all, of_group,
  exact(tonumber(now) - began), passed,
}

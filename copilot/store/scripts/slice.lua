-- Somebody wants something of elements of an array: every `step`th one from `from` to before `to`.
--
-- Touches: job:<id>, array:<id>, parts:<id>, in-ranges, queue:<group>, heads, plain-heads, seen, group:<group>, groups,
-- attributes, attempts:<id>, started, turns, in-use, running, done, failed, cancelled, cancelling, on-hold, blocked,
-- awaits:<id>, awaited:<done or over>:<id>, letting-in, delayed, unpublished, parked, owners, owners-running, events.
-- Atomic because: elements are claimed and reported in the same moment; of those that no agent ever had all go in one step.
-- ARGV[2…]: array, from, to, step, verb, text, the outcome of cancelled ones, states that are meant ('' for any, with blanks between), and where
-- to go on ('' for the begin).
-- Returns how many elements were changed, '' (for audit.lua), how many the array has (0: there is none), how many were not changed, and where to
-- go on ('' for the end).
--
-- First those without records, by parts, which are read, changed in memory and written all together; then those with records, one by one, if there
-- are any. A call costs AT_ONCE at most, where a record is 1: none takes much more than 20 ms.

even_if_full()
local AT_ONCE, OF_PART, OF_PASSED = 1000, 0.5, 0.2
local MOST_PARTS, MOST_PASSED = 1000, 500 -- that are read at once
local id, from, to, step, verb, text, outcome, states, cursor = unpack(ARGV, 2)
from, to, step = tonumber(from), tonumber(to), tonumber(step)
local array = read_array(id)
if not array then
  return {0, '', 0, 0, ''}
end
to = math.min(to, array.size)
local phase, at = string.match(cursor, '^([pgr])(%d+)$') -- parts; parts, and some elements have records; records
phase, at = phase or 'p', tonumber(at or from)
local begun_at = at
local left, changed, same, moved = AT_ONCE, 0, 0, 0

local function is_meant(state)
  return states == '' or string.find(' ' .. states .. ' ', ' ' .. state .. ' ', 1, true)
end

-- The first element of the slice that is not before this one.
local function next_of_slice(index)
  return from + math.ceil((index - from) / step) * step
end

local goals, moved_from = {}, {}

-- Where elements in a state go, false if they stay.
local function goal_of(state)
  if goals[state] == nil then
    goals[state] = is_meant(state) and goal(array, verb, state) or false
  end
  return goals[state]
end

-- Elements of the slice that are in this part, from `at` on, go where they are to; in `after` stands what the part is then. Returns whether
-- some were too many for this call.
local function change_part(part, after)
  local state, ends = goal_of(part.state), math.min(part.to, to)
  at = next_of_slice(math.max(at, part.from))
  if not state or at >= ends then
    same = same + math.max(0, math.ceil((ends - at) / step))
    at = next_of_slice(math.max(at, ends))
    append_part(after, part)
    return false
  end
  local since, its_outcome = state == 'waiting' and '' or now, state == 'cancelled' and outcome or ''
  local function append(first, behind, goes)
    if first < behind then
      append_part(after, {
        from = first, to = behind, state = goes and state or part.state, since = goes and since or part.since,
        outcome = goes and its_outcome or part.outcome,
      })
    end
  end
  local stands, number = part.from, 0
  while at < ends and left > 0 do
    local till = step == 1 and ends or at + 1
    append(stands, at, false)
    append(at, till, true)
    number, stands, at, left = number + till - at, till, next_of_slice(till), left - 2 * OF_PART
  end
  append(stands, part.to, false)
  moved_from[part.state] = (moved_from[part.state] or 0) + number
  return at < ends
end

-- Whether this was the last part.
local function go_through_parts()
  local read, over = parts_from(array, at, MOST_PARTS)
  local before, after, edge, cut = {}, {}, at, false
  for i, part in ipairs(read) do
    before[i] = part
    local is_behind = part.from >= to or left <= 0 or i == #read and not over
    if is_behind or part.to <= begun_at then -- it may be one with that beside it
      append_part(after, part)
    else
      phase, edge, left = part.from > edge and 'g' or phase, part.to, left - OF_PART
      cut = change_part(part, after)
    end
    if is_behind then
      over = part.from >= to
      break
    end
  end
  exchange_parts(array, before, after)
  over = over and not cut
  phase = over and edge < to and 'g' or phase
  return over
end

-- Counts of those that were moved, and what is told of them: those up to before `till`.
local function note_moved(till)
  local moved, state = 0, nil
  for before, number in pairs(moved_from) do
    if number > 0 then
      state, moved = goals[before], moved + number
      count_moved(array, before, state, number)
    end
  end
  if moved > 0 then
    local slice = string.format('[%d:%d%s] ', begun_at, till, step > 1 and ':' .. step or '')
    event(id, KIND_OF[verb], '0', '', state == 'cancelled' and state or '', slice .. text)
  end
  if state == 'waiting' then
    hint()
  elseif state == 'cancelled' then
    note_end_of(id)
  end
  return moved
end

local WISHES = {
  hold = function(job) return hold_job(job, text) end,
  release = function(job) return release_job(job, text) end,
  cancel = function(job) return cancel_job(job, outcome, text) end,
  retry = function(job) return retry_job(job, text) end,
}

-- Elements with records up to before this one.
local function go_to(element)
  while at < element and left > 0 do
    local job = id .. '.' .. at
    local state = redis.call('HGET', JOB .. job, 'state')
    if state and is_meant(state) and WISHES[verb](job)[1] == 1 then
      changed = changed + 1
    elseif state then
      same = same + 1
    end
    at, left = at + step, left - 1
  end
end

local function go_through_records()
  while at < to and left > 0 do
    local parts, all = parts_from(array, at, MOST_PASSED)
    for _, part in ipairs(parts) do
      go_to(math.min(part.from, to))
      if left <= 0 then
        return at >= to
      end
      at, left = at >= part.from and next_of_slice(math.max(at, part.to)) or at, left - OF_PASSED
    end
    go_to(all and to or at)
  end
  return at >= to
end

local over = phase == 'r'
if not over then
  over = go_through_parts()
  moved = note_moved(over and to or at)
end
if over and phase ~= 'p' then
  phase, at = 'r', phase == 'r' and at or from
  over = go_through_records()
end
return {changed + moved, '', array.size, same, over and '' or phase .. string.format('%d', at)}

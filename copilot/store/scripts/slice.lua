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
-- First those without records, by parts: for each one a step. Then those with records, one by one. AT_ONCE of
-- both are done in one call, where a part counts for eight: so no call takes much more than 20 ms.

even_if_full()
local AT_ONCE, OF_PART = 1000, 8
local id, from, to, step, verb, text, outcome, states, cursor = unpack(ARGV, 2)
from, to, step = tonumber(from), tonumber(to), tonumber(step)
local array = read_array(id)
if not array then
  return {0, '', 0, 0, ''}
end
to = math.min(to, array.size)
local phase, at = string.match(cursor, '^([pr])(%d+)$')
phase, at = phase or 'p', tonumber(at or from)
local left, changed, same, moved, ended = AT_ONCE, 0, 0, 0, false

local function is_meant(state)
  return states == '' or string.find(' ' .. states .. ' ', ' ' .. state .. ' ', 1, true)
end

-- The first element of the slice that is not before this one.
local function next_of_slice(index)
  return from + math.ceil((index - from) / step) * step
end

local function go_through_parts()
  while at < to and left > 0 do
    local part = part_at(array, at)
    if not part or part.from >= to then
      return true
    end
    left = left - OF_PART
    at = next_of_slice(math.max(at, part.from))
    if at < part.to and at < to then
      local till = step == 1 and math.min(part.to, to) or at + 1
      local number = till - at
      local state = is_meant(part.state) and operate_part(array, part, at, till, verb, outcome)
      if state then
        moved, ended = moved + number, state == 'cancelled'
      else
        same = same + number
      end
      at = next_of_slice(till)
    end
  end
  return at >= to
end

local WISHES = {
  hold = function(job) return hold_job(job, text) end,
  release = function(job) return release_job(job, text) end,
  cancel = function(job) return cancel_job(job, outcome, text) end,
  retry = function(job) return retry_job(job, text) end,
}

local function go_through_records()
  while at < to and left > 0 do
    left = left - 1
    local part = part_of(array, at)
    if part then
      at = next_of_slice(part.to)
    else
      local job = id .. '.' .. at
      local state = redis.call('HGET', JOB .. job, 'state')
      if state and is_meant(state) and WISHES[verb](job)[1] == 1 then
        changed = changed + 1
      elseif state then
        same = same + 1
      end
      at = at + step
    end
  end
  return at >= to
end

local over = true
if phase == 'p' then
  over = go_through_parts()
  if moved > 0 then
    local slice = string.format('[%d:%d%s] ', from, to, step > 1 and ':' .. step or '')
    event(id, KIND_OF[verb], '0', '', ended and 'cancelled' or '', slice .. text)
    if ended then
      note_end_of(id)
    end
  end
  if over then
    phase, at = 'r', from
  end
end
if over then
  over = go_through_records()
end
return {changed + moved, '', array.size, same, over and '' or phase .. string.format('%d', at)}

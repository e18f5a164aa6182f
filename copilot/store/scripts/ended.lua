-- Read jobs in a final state that ended before a time, oldest first.
--
-- Touches (reads): done, failed, cancelled, job:<id>, array:<id>, parts:<id>, in-ranges.
-- Atomic because: index and records are read in one step and one round trip.
-- ARGV[2…]: state, the time as the end of an open range, how many to leave out, how many to read.
-- Returns the fields of each hash as a flat list; of an element that no agent ever had its number, state, since when, outcome, and the
-- fields of its array.

local state, before, skip, count = unpack(ARGV, 2)
local index = ({done = DONE, failed = FAILED, cancelled = CANCELLED})[state]
local answer = {}
skip, count = tonumber(skip), tonumber(count)

-- Elements that no agent ever had, but for the first ones.
local function append_range(name)
  local id, from, to = read_range(name)
  local array, common = read_array(id), redis.call('HGETALL', ARRAY .. id)
  local part = part_of(array, from)
  for index = from + skip, math.min(to, from + skip + count - #answer) - 1 do
    answer[#answer + 1] = {index, part.state, part.since, part.outcome, common}
  end
end

-- Entries are at most as many as jobs, so the jobs that are asked for are in these.
local entries = redis.call('ZRANGEBYSCORE', index, '-inf', before, 'LIMIT', 0, skip + count)
if redis.call('HEXISTS', IN_RANGES, state) == 0 then
  entries = redis.call('ZRANGEBYSCORE', index, '-inf', before, 'LIMIT', skip, count)
  skip = 0
end
for _, name in ipairs(entries) do
  local jobs = jobs_of(name)
  if #answer >= count then
    break
  elseif jobs <= skip then
    skip = skip - jobs
  elseif is_range(name) then
    append_range(name)
    skip = 0
  else
    answer[#answer + 1] = redis.call('HGETALL', JOB .. name)
  end
end
return answer

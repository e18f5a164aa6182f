-- Read the records of jobs, part by part, in no order.
--
-- Touches (reads): job:<id>, array:<id>.
-- Atomic because: a record is read in one step.
-- ARGV[2…]: where to go on ('0': the begin), about how many to look at, states ('' for any, with blanks between), owner and
-- whether it counts ('1'), and words that must stand in the specification. Returns where to go on ('0': this was the end), how
-- many were looked at, and the fields of those that may be meant, arrays among them: whoever asked for words looks at them again.
--
-- A job that is there from the first part to the last one is in one of them, or in two.

local cursor, count, states, owner, owned = unpack(ARGV, 2, 6)

local KINDS = string.sub(JOB, 1, -5) .. '[aj]*:*' -- job:<id> and array:<id>, and few others

-- Whether an array has elements in one of the states.
local function has_some(key)
  for state in string.gmatch(states, '%S+') do
    if (tonumber(redis.call('HGET', key, 'n:' .. state)) or 0) > 0 then
      return true
    end
  end
  return states == ''
end

local function may_be_meant(key)
  local is_job = string.sub(key, 1, #JOB) == JOB
  if not is_job and string.sub(key, 1, #ARRAY) ~= ARRAY then
    return false
  end
  local state, whose, spec = unpack(redis.call('HMGET', key, 'state', 'owner', 'spec'))
  if not spec or not is_job and not has_some(key) then
    return false
  end
  if is_job and states ~= '' and not string.find(' ' .. states .. ' ', ' ' .. state .. ' ', 1, true) then
    return false
  end
  if owned == '1' and (whose or owner_in_spec(string.sub(key, #JOB + 1))) ~= owner then
    return false
  end
  for i = 7, #ARGV do
    if not string.find(spec, ARGV[i], 1, true) then
      return false
    end
  end
  return true
end

local part, found = redis.call('SCAN', cursor, 'MATCH', KINDS, 'COUNT', count), {}
for _, key in ipairs(part[2]) do
  if may_be_meant(key) then
    found[#found + 1] = redis.call('HGETALL', key)
  end
end
return {part[1], #part[2], found}

-- What jobs take of an agent, and what it has left (decision 20). The loader puts it in front of the scripts that use it.
--
-- What an agent has free is a table of whole numbers: `cores`, `ahead`, `most`, `gpus`, `memory` and `disk` (MiB), and `till`, the time
-- at which it leaves; none of the last three where it does not say. See `Free` in copilot/matching/resources.py. Who says nothing of all
-- that takes jobs of one core, as many as it asks for.

local ONE_CORE = '001000000000000000000000000'
local OF_FREE = {'cores', 'ahead', 'most', 'gpus', 'memory', 'disk', 'till'}
local NOW = 'now'
local LATER = 'later'
local NEVER = 'never'

-- `text` as an agent says it, with blanks, or as it is kept, with commas; '' if it says nothing.
local function read_free(text, slots)
  local free = {cores = 0, ahead = 0, gpus = 0}
  if text == '' then
    return {cores = slots, ahead = 0, gpus = 0, most = 1, silent = true}
  end
  for name, value in string.gmatch(text, '(%a+)=([%d.]+)') do
    free[name] = tonumber(value)
  end
  if free.time then
    free.till = tonumber(now) + free.time
  end
  return free
end

local function write_free(free)
  local words = {}
  for _, name in ipairs(free.silent and {} or OF_FREE) do
    if free[name] then
      words[#words + 1] = name .. '=' .. exact(free[name])
    end
  end
  return table.concat(words, ',')
end

-- What each job of a group needs; nothing if that is one core. Groups of older versions say nothing.
local function request_of(group)
  if #group ~= GROUP_LENGTH or string.sub(group, 1, 27) == ONE_CORE then
    return nil
  end
  local function digits(from, to)
    return tonumber(string.sub(group, from, to), 16)
  end
  return {cores = digits(1, 3), gpus = digits(4, 6), memory = digits(7, 13), disk = digits(14, 20), time = digits(21, 27)}
end

local function is_full(free)
  return free.cores <= 0 and free.ahead <= 0
end

-- Whether a job with this request fits NOW, may do so LATER, or NEVER does: it is too large for what one job gets, or would not end in
-- time. One of one core may be taken ahead, when no core is free.
local function fits(free, request)
  if not request then
    return is_full(free) and LATER or NOW
  end
  if request.cores > (free.most or request.cores) then
    return NEVER
  elseif request.time > 0 and free.till and tonumber(now) + request.time > free.till then
    return NEVER
  elseif request.memory > (free.memory or request.memory) or request.disk > (free.disk or request.disk) then
    return LATER
  elseif request.cores <= free.cores and request.gpus <= free.gpus then
    return NOW
  end
  local ahead = free.cores <= 0 and free.ahead > 0 and request.cores == 1 and request.gpus == 0
  return ahead and NOW or LATER
end

-- How many cores a job gets that fits: as many as it can use of those that are left, and of those that it may have.
local function cores_for(spec, request, free, allowed)
  local least = request and request.cores or 1
  local most = tonumber(string.match(spec, '"max_cores":(%d+)')) or least
  return math.max(least, math.min(most, free.cores, free.most or free.cores, allowed))
end

-- A job is taken off what is free.
local function take_off(free, request, cores)
  if free.cores <= 0 then
    free.ahead = free.ahead - 1
    return
  end
  free.cores = free.cores - cores
  if request then
    free.gpus = free.gpus - request.gpus
    free.memory = free.memory and free.memory - request.memory
    free.disk = free.disk and free.disk - request.disk
  end
end

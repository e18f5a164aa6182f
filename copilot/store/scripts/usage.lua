-- What attempts took, in sums by day of owners, projects and agents. The loader puts it in front of the scripts that use it.
--
-- `usage:<by>:<day>` has a field for each name: attempts, of these ended well, of these cancelled, handed back, seconds of wall
-- time, of CPU, cores times wall, most bytes of memory, bytes in, bytes out.
--
-- Whoever ends an attempt calls `charge` once, with how it ended. An attempt may end twice: taken for lost first, and reported
-- then. `charged` in the record says what it is in the sums with already: '<attempt> <ok> <cancelled> <wall> <cpu> <cores> <in>
-- <out>', and only what is new is added. What an agent says is bounded by the time since the claim, so that it cannot spoil sums.

local USAGE_KEPT = 34560000
local AGENT_USAGE_KEPT = 5184000
local MOST_NAMES = 20000
local MOST_CORES = 4096
local MOST_BYTES = 1125899906842624

local function words_of(text)
  local numbers = {}
  for word in string.gmatch(text or '', '%S+') do
    numbers[#numbers + 1] = tonumber(word)
  end
  return numbers
end

-- Add numbers, in the order above, to those of a name.
local function add_usage(by, name, more)
  local key = USAGE .. by .. ':' .. string.format('%d', math.floor(tonumber(now) / 86400))
  local text = redis.call('HGET', key, name)
  local new = not text
  if new and redis.call('HLEN', key) >= MOST_NAMES then
    name = '*'
    text = redis.call('HGET', key, name)
  end
  local sums = words_of(text)
  for i, number in ipairs(more) do
    sums[i] = i == 8 and math.max(sums[i] or 0, number) or (sums[i] or 0) + number
  end
  redis.call('HSET', key, name, string.format('%.0f %.0f %.0f %.0f %.6f %.6f %.6f %.0f %.0f %.0f', unpack(sums)))
  if new then
    redis.call('EXPIRE', key, by == 'agent' and AGENT_USAGE_KEPT or USAGE_KEPT)
  end
end

local function add_for_all(spec, owner, agent, more)
  add_usage('owner', owner or spec.owner or '', more)
  add_usage('project', spec.project or '', more)
  add_usage('agent', agent or '', more)
end

local function spec_of(text)
  local readable, spec = pcall(cjson.decode, text)
  return readable and type(spec) == 'table' and spec or {}
end

-- A number that an agent has said, if it is one.
local function said_number(value)
  return type(value) == 'number' and value >= 0 and value or nil
end

-- An attempt is over, with this outcome. `over`: so is the job.
local function charge(id, attempt, agent, cause, outcome, over)
  local text, owner, claimed, cores, charged = unpack(redis.call('HMGET', JOB .. id, 'spec', 'owner', 'claimed', 'cores', 'charged'))
  if not claimed then
    return
  end
  local spec, said, before = spec_of(text), spec_of(outcome), words_of(charged)
  local lasted = math.max(0, tonumber(now) - tonumber(claimed))
  local wall = math.min(said_number(said.wall_time) or lasted, lasted)
  local new = {
    tonumber(attempt), cause == 'ok' and 1 or 0, cause == 'cancelled' and 1 or 0, wall,
    math.min(said_number(said.cpu_time) or 0, lasted * MOST_CORES), wall * (tonumber(cores) or spec.cores or 1),
    math.min(said_number(said.bytes_in) or 0, MOST_BYTES), math.min(said_number(said.bytes_out) or 0, MOST_BYTES),
  }
  local known = before[1] == new[1]
  for i = 4, 8 do
    new[i] = known and math.max(new[i], before[i]) or new[i]
  end
  local more = {known and 0 or 1}
  for i = 2, 8 do
    more[i] = new[i] - (known and before[i] or 0)
  end
  local memory = math.min(said_number(said.memory) or 0, MOST_BYTES)
  add_for_all(spec, owner, agent, {more[1], more[2], more[3], 0, more[4], more[5], more[6], memory, more[7], more[8]})
  if over then
    redis.call('HDEL', JOB .. id, 'charged')
  else
    for i, number in ipairs(new) do
      new[i] = exact(number)
    end
    redis.call('HSET', JOB .. id, 'charged', table.concat(new, ' '))
  end
end

-- An attempt never began: it has taken nothing, and is counted.
local function charge_nothing(id, agent)
  local text, owner = unpack(redis.call('HMGET', JOB .. id, 'spec', 'owner'))
  add_for_all(spec_of(text), owner, agent, {0, 0, 0, 1, 0, 0, 0, 0, 0, 0})
end

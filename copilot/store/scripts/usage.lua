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

local TEN_NUMBERS = '^(%S+) (%S+) (%S+) (%S+) (%S+) (%S+) (%S+) (%S+) (%S+) (%S+)'

-- Add numbers, in the order above, to those of a name.
local function add_usage(by, name, n, ok, cancelled, back, wall, cpu, cores, memory, bytes_in, bytes_out)
  local key = USAGE .. by .. ':' .. string.format('%d', math.floor(tonumber(now) / 86400))
  local text = redis.call('HGET', key, name)
  local new = not text
  if new and redis.call('HLEN', key) >= MOST_NAMES then
    name = '*'
    text = redis.call('HGET', key, name)
  end
  if text then
    local a, b, c, d, e, f, g, h, i, j = string.match(text, TEN_NUMBERS)
    n, ok, cancelled, back, wall = n + a, ok + b, cancelled + c, back + d, wall + e
    cpu, cores, memory, bytes_in, bytes_out = cpu + f, cores + g, math.max(memory, h), bytes_in + i, bytes_out + j
  end
  redis.call('HSET', key, name, string.format('%.0f %.0f %.0f %.0f %.6f %.6f %.6f %.0f %.0f %.0f',
    n, ok, cancelled, back, wall, cpu, cores, memory, bytes_in, bytes_out))
  if new then
    redis.call('EXPIRE', key, by == 'agent' and AGENT_USAGE_KEPT or USAGE_KEPT)
  end
end

-- A job that an older version has put on the queue says in its spec alone whose it is.
local function add_for_all(id, owner, project, agent, ...)
  add_usage('owner', owner or owner_in_spec(id), ...)
  add_usage('project', project or '', ...)
  add_usage('agent', agent or '', ...)
end

-- What an agent has said of an attempt; nothing of one that it did not report.
local function read_outcome(text)
  local readable, said = pcall(cjson.decode, text)
  return readable and type(said) == 'table' and said or {}
end

-- A number that an agent has said, if it is one.
local function said_number(value)
  return type(value) == 'number' and value >= 0 and value or nil
end

-- An attempt is over, with this outcome. `over`: so is the job.
local function charge(id, attempt, agent, cause, outcome, over)
  local owner, project, claimed, cores, charged =
    unpack(redis.call('HMGET', JOB .. id, 'owner', 'project', 'claimed', 'cores', 'charged'))
  if not claimed then
    return
  end
  local said = read_outcome(outcome)
  local ok, cancelled = cause == 'ok' and 1 or 0, cause == 'cancelled' and 1 or 0
  local lasted = math.max(0, tonumber(now) - tonumber(claimed))
  local wall = math.min(said_number(said.wall_time) or lasted, lasted)
  local cpu = math.min(said_number(said.cpu_time) or 0, lasted * MOST_CORES)
  local taken = wall * (tonumber(cores) or 1)
  local memory = math.min(said_number(said.memory) or 0, MOST_BYTES)
  local bytes_in = math.min(said_number(said.bytes_in) or 0, MOST_BYTES)
  local bytes_out = math.min(said_number(said.bytes_out) or 0, MOST_BYTES)
  local a, b, c, d, e, f, g, h = string.match(charged or '', '^(%S+) (%S+) (%S+) (%S+) (%S+) (%S+) (%S+) (%S+)')
  if a ~= attempt then
    add_for_all(id, owner, project, agent, 1, ok, cancelled, 0, wall, cpu, taken, memory, bytes_in, bytes_out)
  else
    wall, cpu, taken = math.max(wall, d), math.max(cpu, e), math.max(taken, f)
    bytes_in, bytes_out = math.max(bytes_in, g), math.max(bytes_out, h)
    add_for_all(id, owner, project, agent, 0, ok - b, cancelled - c, 0, wall - d, cpu - e, taken - f, memory, bytes_in - g,
      bytes_out - h)
  end
  if not over then
    redis.call('HSET', JOB .. id, 'charged', string.format('%s %d %d %.17g %.17g %.17g %.0f %.0f', attempt, ok, cancelled, wall, cpu,
      taken, bytes_in, bytes_out))
  elseif charged then
    redis.call('HDEL', JOB .. id, 'charged')
  end
end

-- An attempt never began: it has taken nothing, and is counted.
local function charge_nothing(id, agent)
  local owner, project = unpack(redis.call('HMGET', JOB .. id, 'owner', 'project'))
  add_for_all(id, owner, project, agent, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0)
end

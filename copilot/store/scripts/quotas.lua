-- How many jobs and cores owners and projects may run at a time. The loader puts it in front of the scripts that use it.
--
-- Groups of an owner or project that has as much as it may are passed over; what they may still have is looked up once for each pair
-- of them, by the digits in the names of groups.

local limits, rooms, limited = {}, {}, nil

-- The limits for jobs of a group: tables of jobs, cores, owner or project, and its name.
local function limits_for(group)
  local first = redis.call('ZRANGE', QUEUE .. group, 0, 0)[1]
  local owner, project = unpack(first and redis.call('HMGET', record_of(id_of(first)), 'owner', 'project') or {})
  local found = {}
  for kind, name in pairs({owner = owner or '', project = project or ''}) do
    local _, jobs, cores = shares_of(kind .. ':' .. name)
    if jobs or cores then
      found[#found + 1] = {jobs = jobs, cores = cores, kind = kind, name = name}
    end
  end
  return found
end

-- How many cores a limit leaves, none if there is no job to be had.
local function room_of(limit)
  local of_owner, name = limit.kind == 'owner', limit.kind .. ':' .. limit.name
  local jobs = tonumber(redis.call('HGET', of_owner and OWNERS_RUNNING or IN_USE, of_owner and limit.name or 'jobs:' .. name) or 0)
  if limit.jobs and jobs >= limit.jobs then
    return 0
  end
  return limit.cores and limit.cores - jobs - tonumber(redis.call('HGET', IN_USE, 'cores:' .. name) or 0) or math.huge
end

-- How many cores more the jobs of a group may use.
local function room_for(group)
  if limited == nil then
    limited = redis.call('EXISTS', SHARES) == 1
  end
  if not limited or #group ~= GROUP_LENGTH then
    return math.huge
  end
  local who = string.sub(group, 29, 44)
  if not rooms[who] then
    limits[who] = limits[who] or limits_for(group)
    rooms[who] = math.huge
    for _, limit in ipairs(limits[who]) do
      rooms[who] = math.min(rooms[who], room_of(limit))
    end
  end
  return rooms[who]
end

-- A job was given to somebody.
local function forget_rooms()
  rooms = {}
end

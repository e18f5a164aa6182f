-- Whose turn it is: fair shares by virtual start times (decision 20). The loader puts it in front of the scripts that use it.
--
-- The place of a job is the virtual time at which it is to start, in units of which one core takes TURN, and behind it three digits that
-- let the older one of two equal ones go first. It is given once, when the job is submitted: not before the last job of its priority
-- that was started (`started`), and not before the last one of its owner ends, which is `cores / shares` later for each
-- (`turns`). So whoever brings ten jobs behind another one's hundred thousand has every second start.
--
-- A job that is started while others of its priority stand before it, for they do not match or fit, may be far ahead: who comes
-- next would stand behind all of those. It moves the turns on by what it takes, no further.

local TURN = 100
local TIES = 1000

-- Shares, and the most jobs and cores that run at a time (nothing: no limit), of `owner:<name>` or `project:<name>`.
local function shares_of(whose)
  local shares, jobs, cores = string.match(redis.call('HGET', SHARES, whose) or '', '^(%S+) (%S+) (%S+)$')
  return tonumber(shares) or 1, tonumber(jobs), tonumber(cores)
end

-- Where the last job of an owner ends, by rank.
local function read_turns(owner)
  local ends = {}
  for rank, at in string.gmatch(redis.call('HGET', TURNS, owner) or '', '(%S+)=(%d+)') do
    ends[rank] = tonumber(at)
  end
  return ends
end

local function write_turns(owner, ends)
  local words = {}
  for rank, at in pairs(ends) do
    words[#words + 1] = rank .. '=' .. string.format('%.0f', at)
  end
  if #words == 0 then
    redis.call('HDEL', TURNS, owner)
  else
    redis.call('HSET', TURNS, owner, table.concat(words, ' '))
  end
end

-- Where the turns of a rank are.
local function started_of(rank)
  return tonumber(redis.call('HGET', STARTED, rank) or 0)
end

-- Jobs of a rank that take so many cores together were started, the last one at this place; `first` of those that wait has the first
-- place of that rank, nothing if none waits.
local function note_start(rank, place, cores, first)
  local at, before = math.floor(tonumber(place) / TIES), started_of(rank)
  if first and tonumber(first) < tonumber(place) then
    at = math.min(at, before + TURN * cores)
  end
  if at > before then
    redis.call('HSET', STARTED, rank, string.format('%.0f', at))
  end
end

-- An owner has no job any more. What he has taken back must not keep him waiting for long; what he was given counts for one turn.
local function forgive(owner)
  local ends, left = read_turns(owner), {}
  for rank, at in pairs(ends) do
    local started = started_of(rank)
    if at > started then
      left[rank] = math.min(at, started + TURN)
    end
  end
  if next(ends) then
    write_turns(owner, left)
  end
end

-- Which queue is the best for a host. The loader puts it in front of each script.
--
-- Expressions are not for Lua: managers evaluate them, once for each group and class of hosts (those that say the same of
-- all that is asked for). What they find is kept in `matches:<class>:<page>`, one byte for each number of a group. A
-- script that meets a group of which nothing is known there asks, and is called again with the answer.

local YES, NO = '+', '-'
local PAGE = 1000
local MATCHES_MEMORY = 3600
local FIRST_LOOK = 8
local LARGEST_LOOK = 512

local function page_of(class, number)
  return string.format('%s%s:%d', MATCHES, class, math.floor(number / PAGE))
end

-- `verdicts` is '<number>+' for each group that matches, '<number>-' for each that does not, with blanks between.
local function note_verdicts(class, verdicts)
  for number, verdict in string.gmatch(verdicts, '(%d+)([+-])') do
    local page = page_of(class, tonumber(number))
    redis.call('SETRANGE', page, tonumber(number) % PAGE, verdict)
    redis.call('EXPIRE', page, MATCHES_MEMORY)
  end
end

-- A host that is looked at for jobs: its class, made from the attributes of these names. If others are asked for by now,
-- it has none, and is `stale`. At most so many groups are asked about; others that are not known do not match.
local function look_at(names, class, most)
  local wanted = redis.call('GET', ATTRIBUTES) or ''
  local stale = wanted ~= '' and (class == '' or names ~= wanted)
  return {
    wanted = wanted, stale = stale and most > 0, class = (wanted == '' or stale) and '' or class,
    pages = {}, skip = 0, unknown = {}, most = most,
  }
end

local function verdict_of(host, number)
  local page = page_of(host.class, number)
  host.pages[page] = host.pages[page] or redis.call('GET', page) or ''
  local at = number % PAGE + 1
  return string.sub(host.pages[page], at, at)
end

-- What a manager has to say before a host can get jobs: the attributes that are asked for, what the host has said of
-- itself, and the groups that are not known, each with its number and its requirements.
local function question(host, jdl)
  local words = {host.wanted, jdl}
  for _, group in ipairs(host.unknown) do
    local number, requirements = read_group(group)
    words[#words + 1] = number
    words[#words + 1] = requirements
  end
  return words
end

-- Whether the first job of ANY goes before that of another group.
local function goes_first(any, any_rank, head, rank)
  any_rank, rank = tonumber(any_rank), tonumber(rank)
  return any_rank < rank or any_rank == rank and string.sub(any, 1, 16) < string.sub(head, 1, 16)
end

-- The queue whose first job is the best for a host, as its group and, but for ANY, number and head. Nothing if there is
-- none, or if groups that come before it are not known: then those are in `unknown`.
local function best_queue(host)
  local any, any_rank = unpack(redis.call('ZRANGE', QUEUE .. ANY, 0, 0, 'WITHSCORES'))
  local at, size = host.skip, FIRST_LOOK
  host.unknown = {}
  while host.class ~= '' do
    local heads = redis.call('ZRANGE', HEADS, at, at + size - 1, 'WITHSCORES')
    for i = 1, #heads, 2 do
      if any and goes_first(any, any_rank, heads[i], heads[i + 1]) then
        return #host.unknown == 0 and {group = ANY} or nil
      end
      local number, group = string.match(heads[i], '(%d+) (%S+)$')
      local verdict = verdict_of(host, tonumber(number))
      if verdict == YES then
        return #host.unknown == 0 and {group = group, number = number, head = heads[i]} or nil
      elseif verdict ~= NO and host.most > 0 then
        host.unknown[#host.unknown + 1] = group
        if #host.unknown == host.most then
          return nil
        end
      end
      at = at + 1
      host.skip = #host.unknown == 0 and at or host.skip
    end
    if #heads < 2 * size then
      break
    end
    size = math.min(2 * size, LARGEST_LOOK)
  end
  return any and #host.unknown == 0 and {group = ANY} or nil
end

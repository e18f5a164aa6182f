-- Which queue is the best for a host. The loader puts it in front of the scripts that use it.
--
-- Expressions are not for Lua: managers evaluate them, once for each group and class of hosts (those that say the same of
-- all that is asked for). What they find is kept in `matches:<class>:<page>`, one byte for each number of a group. A
-- script that meets a group of which nothing is known there asks, and is called again with the answer.
--
-- Hosts may have requirements, too: the class of such a host begins with REQUIRES, and both together make the match. For all others
-- any group without requirements matches, and they need no class while nothing is asked for.

local YES, NO = string.byte('+'), string.byte('-')
local PAGE = 1000
local MOST_CLASSES = 10000
local MATCHES_MEMORY = 3600
local FIRST_LOOK = 8
local LARGEST_LOOK = 512
local LONGEST_QUESTION = 65536
local REQUIRES = '!'

local function page_of(class, page)
  return string.format('%s%s:%d', MATCHES, class, page)
end

-- Where it stands how much the jobs of a group with this number prefer hosts of a class.
local function scores_of(class, number)
  return string.format('%s%s:%d', RANKS, class, math.floor(number / PAGE))
end

-- `verdicts` is '<number>+' for each group that matches, '<number>-' for each that does not, and '<number>=<rank>' for each whose jobs have
-- a rank (ranking.lua), with blanks between. They are written page by page: a thousand writes would be a thousand entries of the
-- append-only file.
local function note_verdicts(class, verdicts)
  local pages = {}
  for number, verdict in string.gmatch(verdicts, '(%d+)([+-])') do
    local at = number % PAGE
    local page = page_of(class, (number - at) / PAGE)
    pages[page] = pages[page] or {string.byte(redis.call('GET', page) or '', 1, -1)}
    for i = #pages[page] + 1, at do
      pages[page][i] = 0
    end
    pages[page][at + 1] = string.byte(verdict)
  end
  for page, bytes in pairs(pages) do
    redis.call('SET', page, string.char(unpack(bytes)), 'EX', MATCHES_MEMORY)
  end
  for number, score in string.gmatch(verdicts, '(%d+)=(%S+)') do
    redis.call('HSET', scores_of(class, number), number, score)
    redis.call('EXPIRE', scores_of(class, number), MATCHES_MEMORY)
  end
end

-- What is asked for when the script begins; read once, for dispatch looks at many hosts.
local wanted

-- Whether a host asks for some jobs only (REQUIRES in front of what it has said), if its manager does not know.
local function says_that_it_requires(host_key)
  return host_key ~= '' and redis.call('GETRANGE', HOST .. host_key, 0, 0) == REQUIRES
end

-- A host that is looked at for jobs: its class, made from the attributes of these names. If others are asked for by now,
-- it has none, and is `stale`. A host that asks for some jobs only is `picky`, which its class says; `host_key` is where to look if the
-- class is not known. At most so many groups are asked about; others that are not known do not match. `agent` is its name.
local function look_at(names, class, most, host_key, agent)
  wanted = wanted or redis.call('GET', ATTRIBUTES) or ''
  local picky = string.sub(class, 1, 1) == REQUIRES or class == '' and says_that_it_requires(host_key)
  local stale = wanted ~= '' and (class == '' or names ~= wanted) or class == '' and picky
  return {
    wanted = wanted, stale = stale and most > 0, class = (stale or wanted == '' and not picky) and '' or class, picky = picky, pages = {},
    unknown = {}, skipped = {}, most = most, agent = agent, looked_at = 0,
  }
end

local function verdict_of(host, number)
  local at = number % PAGE
  local page = (number - at) / PAGE
  host.pages[page] = host.pages[page] or redis.call('GET', page_of(host.class, page)) or ''
  return string.byte(host.pages[page], at + 1)
end

-- The groups that are not known, a line for each: its number and its requirements. For a host that asks for some jobs only it is the
-- number and the description of the first job instead.
local function lines_about(host)
  local keys, lines = {}, {}
  if not host.picky then
    for i, group in ipairs(host.unknown) do
      keys[i] = GROUP .. group
    end
    return #keys > 0 and redis.call('MGET', unpack(keys)) or {}
  end
  for i, group in ipairs(host.unknown) do
    local first = redis.call('ZRANGE', QUEUE .. group, 0, 0)[1]
    lines[i] = string.format('%d %s', number_for(group), first and redis.call('HGET', record_of(id_of(first)), 'spec') or '')
  end
  return lines
end

-- How the jobs of a group rank hosts.
local function rank_of(group)
  local first = redis.call('ZRANGE', QUEUE .. group, 0, 0)[1]
  return first and redis.call('HGET', record_of(id_of(first)), 'prefers') or ''
end

-- What a manager has to say before a host can get jobs: the attributes that are asked for, what the host has said of
-- itself, the groups that are not known, and the ranks of those that have one. Some of these are enough.
local function question(host, jdl)
  local lines, ranks, length = {}, {}, 0
  for i, text in ipairs(lines_about(host)) do
    lines[i] = text
    length = length + #text
    if is_ranked(host.unknown[i]) then
      ranks[#ranks + 1] = string.match(text, '^%d+') .. ' ' .. rank_of(host.unknown[i])
      length = length + #ranks[#ranks]
    end
    if length > LONGEST_QUESTION then
      break
    end
  end
  return {host.wanted, jdl, table.concat(lines, '\n'), table.concat(ranks, '\n')}
end

-- The heads behind one, read in parts.
local function read_heads(key, from)
  return {key = key, from = from, heads = {}, at = 1, size = FIRST_LOOK, more = true}
end

local function next_head(reading)
  if reading.at > #reading.heads and reading.more then
    local behind = reading.from == '' and '-' or '(' .. reading.from
    reading.heads, reading.at = redis.call('ZRANGEBYLEX', reading.key, behind, '+', 'LIMIT', 0, reading.size), 1
    reading.more, reading.size = #reading.heads == reading.size, math.min(2 * reading.size, LARGEST_LOOK)
  end
  return reading.heads[reading.at]
end

local function matches_plain(host, group)
  return not host.picky and YES or host.class ~= '' and verdict_of(host, number_for(group)) or nil
end

-- The queue whose first job is the best for a host of those that fit on what it has free, and that may run: its group, number, and head.
-- Nothing if there is none, or if groups that come before it are not known: then those are in `unknown`, with some that come later, for
-- they will be asked about some day. Moves `host.seen` on, and what is behind: what was passed over once is so for the whole claim, for
-- there is only less free later; so are groups in `host.skipped`. `host.prefers_other`, where there is one, says whether a queue's jobs have a rank and are for another
-- host, or for none yet: then there is nothing for this one, either.
local function best_queue(host, free)
  host.unknown = {}
  if is_full(free) then
    return nil
  end
  if not host.behind then
    host.seen = host.class ~= '' and redis.call('HGET', SEEN, host.class) or ''
    host.began, host.behind = host.seen, {[HEADS] = host.seen, [PLAIN_HEADS] = ''}
  end
  local unknown, read = host.unknown, 0
  local narrow = host.class ~= '' and read_heads(HEADS, host.behind[HEADS]) or {heads = {}, at = 1}
  local plain = read_heads(PLAIN_HEADS, host.behind[PLAIN_HEADS])
  while #unknown == 0 or read < LARGEST_LOOK do
    local head, other = next_head(narrow), next_head(plain)
    local reading = (not head or other and other < head) and plain or narrow
    head = reading == plain and other or head
    if not head then
      break
    end
    local group, number = group_of(head), tonumber(string.sub(head, 27, 34))
    local verdict
    if reading == plain then
      verdict = matches_plain(host, group)
    else
      verdict = verdict_of(host, number)
    end
    if verdict == YES and #unknown == 0 then
      local request = request_of(group)
      local room, fit = room_for(group), fits(free, request)
      if not host.skipped[group] and room >= (request and request.cores or 1) then
        if fit == NOW then
          local queue = {group = group, number = number, head = head, request = request, room = room}
          if host.prefers_other and is_ranked(group) and host.prefers_other(queue) then
            host.kept = true
            return nil
          end
          return queue
        elseif fit == LATER and request and not free.silent and is_kept_for(host.agent, group, head) then
          host.kept = true
          return nil
        elseif fit == NEVER and free.till then
          end_keeping(host.agent, group, head)
        end
      end
      host.passed = true
    elseif verdict ~= YES and verdict ~= NO and host.most > 0 then
      unknown[#unknown + 1] = group
      if #unknown == host.most then
        return nil
      end
    elseif verdict ~= YES and reading == narrow and #unknown == 0 and not host.passed then
      host.seen = head
    end
    if #unknown == 0 then
      host.behind[reading.key] = head
    end
    reading.at, reading.from, read = reading.at + 1, head, read + 1
    host.looked_at = host.looked_at + 1
  end
  return nil
end

-- Remember where the next look for such a host may begin. Only when no job that was looked at has gone back before that.
local function keep_seen(host)
  if host.class == '' or host.most == 0 or host.seen == host.began then
    return
  end
  if redis.call('HLEN', SEEN) > MOST_CLASSES then
    redis.call('DEL', SEEN)
  end
  redis.call('HSET', SEEN, host.class, host.seen)
  local furthest = redis.call('HGET', SEEN, FURTHEST)
  if not furthest or furthest < host.seen then
    redis.call('HSET', SEEN, FURTHEST, host.seen)
  end
  redis.call('EXPIRE', SEEN, MATCHES_MEMORY)
end

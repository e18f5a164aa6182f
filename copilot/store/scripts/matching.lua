-- Which queue is the best for a host. The loader puts it in front of the scripts that use it.
--
-- Expressions are not for Lua: managers evaluate them, once for each group and class of hosts (those that say the same of
-- all that is asked for). What they find is kept in `matches:<class>:<page>`, one byte for each number of a group. A
-- script that meets a group of which nothing is known there asks, and is called again with the answer.

local YES, NO = string.byte('+'), string.byte('-')
local PAGE = 1000
local MOST_CLASSES = 10000
local MATCHES_MEMORY = 3600
local FIRST_LOOK = 8
local LARGEST_LOOK = 512
local LONGEST_QUESTION = 65536

local function page_of(class, page)
  return string.format('%s%s:%d', MATCHES, class, page)
end

-- `verdicts` is '<number>+' for each group that matches, '<number>-' for each that does not, with blanks between. They are
-- written page by page: a thousand writes would be a thousand entries of the append-only file.
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
end

-- What is asked for when the script begins; read once, for dispatch looks at many hosts.
local wanted

-- A host that is looked at for jobs: its class, made from the attributes of these names. If others are asked for by now,
-- it has none, and is `stale`. At most so many groups are asked about; others that are not known do not match.
local function look_at(names, class, most)
  wanted = wanted or redis.call('GET', ATTRIBUTES) or ''
  local stale = wanted ~= '' and (class == '' or names ~= wanted)
  return {
    wanted = wanted, stale = stale and most > 0, class = (wanted == '' or stale) and '' or class, pages = {}, unknown = {},
    most = most,
  }
end

local function verdict_of(host, number)
  local at = number % PAGE
  local page = (number - at) / PAGE
  host.pages[page] = host.pages[page] or redis.call('GET', page_of(host.class, page)) or ''
  return string.byte(host.pages[page], at + 1)
end

-- What a manager has to say before a host can get jobs: the attributes that are asked for, what the host has said of
-- itself, and the groups that are not known, a line for each as its key holds it. Some of these are enough.
local function question(host, jdl)
  local keys, lines, length = {}, {}, 0
  for i, group in ipairs(host.unknown) do
    keys[i] = GROUP .. group
  end
  for i, text in ipairs(#keys > 0 and redis.call('MGET', unpack(keys)) or {}) do
    lines[i] = text
    length = length + #text
    if length > LONGEST_QUESTION then
      break
    end
  end
  return {host.wanted, jdl, table.concat(lines, '\n')}
end

-- The queue whose first job is the best for a host, as its group and, but for ANY, number and head. Nothing if there is
-- none, or if groups that come before it are not known: then those are in `unknown`, with some that come later, for they
-- will be asked about some day. Moves `host.seen` on.
local function best_queue(host)
  local any, rank = unpack(redis.call('ZRANGE', QUEUE .. ANY, 0, 0, 'WITHSCORES'))
  local before = any and order_of(any, rank)
  if host.class ~= '' and not host.began then
    host.began = redis.call('HGET', SEEN, host.class) or ''
    host.seen = host.began
  end
  local from, size, full = host.seen, FIRST_LOOK, host.class ~= ''
  local unknown, read = {}, 0
  host.unknown = unknown
  while full and (#unknown == 0 or read < LARGEST_LOOK) do
    local heads = redis.call('ZRANGEBYLEX', HEADS, from == '' and '-' or '(' .. from, '+', 'LIMIT', 0, size)
    for _, head in ipairs(heads) do
      if #unknown == 0 and before and before < head then
        return {group = ANY}
      end
      local number = tonumber(string.sub(head, 27, 34))
      local verdict = verdict_of(host, number)
      if verdict == YES and #unknown == 0 then
        return {group = string.sub(head, 35), number = number, head = head}
      elseif verdict ~= YES and verdict ~= NO and host.most > 0 then
        unknown[#unknown + 1] = string.sub(head, 35)
        if #unknown == host.most then
          return nil
        end
      end
      from = head
      host.seen = #unknown == 0 and head or host.seen
    end
    full, read, size = #heads == size, read + size, math.min(2 * size, LARGEST_LOOK)
  end
  return any and #unknown == 0 and {group = ANY} or nil
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

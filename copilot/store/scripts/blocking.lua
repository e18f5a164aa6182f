-- Jobs that wait for others (decision 21). The loader puts it in front of the scripts that use it.
--
-- `awaits:<job>` has what a job waits for yet, as `done:<id>` (until that job is done) or `over:<id>` (until it is over, however it ended);
-- `awaited:<done or over>:<id>` has the jobs that wait for that. Both change in one step. A job that waits for something is blocked, held or
-- cancelled, never in a queue. What is true stays true: a job that is done is so for good.

local LET_IN_AT_ONCE = 1000
local UNBLOCKED_AT_ONCE = 1000 -- parts of an array that are changed together
local MOST_UNBLOCKED = 4000 -- of them in a step

local IS_FINAL = {done = true, failed = true, cancelled = true}

-- Whether a job that is in this state is what others wait for with this word.
local function is_so(word, state)
  return state == 'done' or word == 'over' and IS_FINAL[state] or false
end

-- A new job waits for these, `words` with blanks between, as far as they are not so already. Returns whether it has to.
local function begin_waiting(id, words)
  local waits = false
  for word, other in string.gmatch(words, '(%a+):(%S+)') do
    if not is_so(word, state_of(other)) then
      redis.call('SADD', AWAITS .. id, word .. ':' .. other)
      redis.call('ZADD', AWAITED .. word .. ':' .. other, 0, id)
      waits = true
    end
  end
  return waits
end

-- It waits for nothing any more.
local function end_waiting(id)
  for _, name in ipairs(redis.call('SMEMBERS', AWAITS .. id)) do
    redis.call('ZREM', AWAITED .. name, id)
  end
  redis.call('DEL', AWAITS .. id)
end

local function block(id)
  enter_state(id, 'blocked')
  redis.call('ZADD', BLOCKED, now, id)
end

-- It waits in its queue, or for others if there are some. Returns its state.
local function put_back_in_line(id)
  if redis.call('EXISTS', AWAITS .. id) == 1 then
    block(id)
    return 'blocked'
  end
  put_in_queue(id)
  return 'waiting'
end

local unblocked = 0 -- parts that were looked at

-- Elements of an array that are blocked join the queue, those from `begin` on. Returns how many, and where to go on; nothing at the end.
local function unblock_elements(array, begin)
  local at, over, moved, read = begin, false, 0, nil
  repeat
    local after = {}
    read, over = parts_from(array, at, UNBLOCKED_AT_ONCE)
    for _, part in ipairs(read) do
      at = part.to
      if part.state == 'blocked' then
        moved = moved + part.to - part.from
        append_part(after, {from = part.from, to = part.to, state = 'waiting', since = '', outcome = ''})
      else
        append_part(after, part)
      end
    end
    exchange_parts(array, read, after)
    unblocked = unblocked + #read
  until over or unblocked >= MOST_UNBLOCKED
  return moved, not over and at or nil
end

local function unblock_array(array, text)
  local begin = tonumber(redis.call('HGET', ARRAY .. array.id, 'unblocked') or 0)
  local moved, at = unblock_elements(array, begin)
  if at then
    redis.call('HSET', ARRAY .. array.id, 'unblocked', at)
  elseif begin > 0 then
    redis.call('HDEL', ARRAY .. array.id, 'unblocked')
  end
  if moved > 0 then
    count_moved(array, 'blocked', 'waiting', moved)
    hint()
    event(array.id, 'released', '0', '', '', string.format('[%d:%d] ', begin, at or array.size) .. text)
  end
  return not at
end

-- What it waited for is so. Returns whether that is all: an array in very many parts takes several steps.
local function unblock(id, text)
  local array = read_array(id)
  if array then
    return unblock_array(array, text)
  end
  local state, attempt, agent = unpack(redis.call('HMGET', JOB .. id, 'state', 'attempt', 'agent'))
  if state == 'blocked' then
    redis.call('ZREM', BLOCKED, id)
    put_in_queue(id)
    event(id, 'released', attempt, agent, '', text)
  end
  return true
end

-- Jobs that wait for `name`, which is so, do not wait for it any more; at most so many at once, the reaper goes on. Returns how many of these
-- were used up.
local function let_in(name, most)
  local key, is_all = AWAITED .. name, true
  local found = redis.call('ZRANGE', key, 0, most - 1)
  for _, id in ipairs(found) do
    redis.call('SREM', AWAITS .. id, name)
    if redis.call('EXISTS', AWAITS .. id) == 0 then
      local word, other = string.match(name, '^(%a+):(.*)$')
      is_all = unblock(id, 'job ' .. other .. ' is ' .. word)
    end
    if not is_all then
      break
    end
    redis.call('ZREM', key, id)
  end
  if (#found == most or not is_all) and redis.call('EXISTS', key) == 1 then
    redis.call('ZADD', LETTING_IN, now, name)
  elseif #found > 0 then
    redis.call('ZREM', LETTING_IN, name)
  end
  return is_all and #found or most
end

-- A job has ended so.
local function let_others_in(id, state)
  local left = LET_IN_AT_ONCE
  if state == 'done' then
    left = left - let_in('done:' .. id, left)
  end
  if left > 0 then
    let_in('over:' .. id, left)
  elseif redis.call('EXISTS', AWAITED .. 'over:' .. id) == 1 then
    redis.call('ZADD', LETTING_IN, now, 'over:' .. id)
  end
end

-- An element has ended. If it was the last one, so has the array.
local function note_end_of(array)
  local counts = count_of(array)
  if counts[6] + counts[7] + counts[8] == counts[1] then
    redis.call('HSET', ARRAY .. array, 'finished', now)
    let_others_in(array, counts[8] == counts[1] and 'done' or 'failed')
  end
end

-- What others did not finish.
local function go_on_letting_in()
  local left = LET_IN_AT_ONCE
  while left > 0 do
    local name = redis.call('ZRANGE', LETTING_IN, 0, 0)[1]
    if not name then
      return
    end
    local found = let_in(name, left)
    left = left - found
    if found == 0 then
      redis.call('ZREM', LETTING_IN, name)
    end
  end
end

-- Whether other jobs wait for this one.
local function is_awaited(id)
  return redis.call('EXISTS', AWAITED .. 'done:' .. id, AWAITED .. 'over:' .. id) > 0
end

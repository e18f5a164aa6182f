-- Many parts of an array at once (arrays.lua has what parts are, and changes one at a time). The loader puts it in front of the scripts that
-- use it.

local BATCH = 1000 -- values of a command; even

local function in_batches(command, key, values)
  for i = 1, #values, BATCH do
    redis.call(command, key, unpack(values, i, math.min(i + BATCH - 1, #values)))
  end
end

-- The two parts that begin last up to this element, and `count` behind them, in order; and whether these are all behind it.
local function parts_from(array, index, count)
  local found = redis.call('ZREVRANGEBYSCORE', PARTS .. array.id, index, '-inf', 'LIMIT', 0, 2)
  found[1], found[2] = found[2] or found[1], found[2] and found[1]
  local behind = redis.call('ZRANGEBYSCORE', PARTS .. array.id, '(' .. index, '+inf', 'LIMIT', 0, count)
  for _, text in ipairs(behind) do
    found[#found + 1] = text
  end
  for i, text in ipairs(found) do
    found[i] = read_part(text)
    found[i].text = text
  end
  return found, #behind < count
end

-- A part, as it was read or new, comes behind those of a list. With the last one of them it is one, if it stands beside it and says the same.
local function append_part(parts, part)
  local last = parts[#parts]
  if last and last.to == part.from and last.state == part.state and last.since == part.since and last.outcome == part.outcome then
    parts[#parts] = {from = last.from, to = part.to, state = part.state, since = part.since, outcome = part.outcome}
  else
    parts[#parts + 1] = part
  end
end

-- The queue of a group has another first entry, or none, or its first one.
local function change_head(group, entry, rank, before, rank_before, name)
  if before == entry and rank_before == rank then
    return
  elseif not before then
    local plain = is_plain(group)
    add_head(head_of(entry, rank, plain and 0 or open_group(group, name), group), plain)
    return
  end
  local number = number_of(group)
  local head, head_before = entry and head_of(entry, rank, number, group), head_of(before, rank_before, number, group)
  if head and head < head_before then
    redis.call('ZREM', heads_of(group), head_before)
    add_head(head, is_plain(group))
  else
    note_departure(group, number, head_before)
  end
end

-- In the place of some parts, as they were read, stand others.
local function exchange_parts(array, before, after)
  -- As `range_name` and `place_of` have it. An id has no '%'.
  local stays, texts_gone, texts, gone, new, beside = {}, {}, {}, {}, {}, {}
  local name, step, place = '+' .. array.id .. '/%07d-%d', array.step, array.place
  local in_queue = '%016.0f:' .. name
  local function add(lists, part, sign)
    local state, from, to = part.state, part.from, part.to
    local list = lists[state] or {}
    lists[state] = list
    beside[state] = (beside[state] or 0) + sign * (to - from - 1)
    if sign == 1 then
      list[#list + 1] = state == 'waiting' and array.rank or part.since
    end
    list[#list + 1] = state == 'waiting' and string.format(in_queue, place + from * step, from, to) or string.format(name, from, to)
  end
  for _, part in ipairs(after) do
    if part.text then
      stays[part.text] = true
    else
      texts[#texts + 1] = part.from
      texts[#texts + 1] = write_part(part)
      add(new, part, 1)
    end
  end
  for _, part in ipairs(before) do
    if not stays[part.text] then
      texts_gone[#texts_gone + 1] = part.text
      add(gone, part, -1)
    end
  end
  local queue = QUEUE .. array.group
  local first, rank = unpack(redis.call('ZRANGE', queue, 0, 0, 'WITHSCORES'))
  in_batches('ZREM', PARTS .. array.id, texts_gone)
  in_batches('ZADD', PARTS .. array.id, texts)
  for state, names in pairs(gone) do
    in_batches('ZREM', INDEX_OF[state] or queue, names)
  end
  for state, names in pairs(new) do
    in_batches('ZADD', INDEX_OF[state] or queue, names)
  end
  for state, number in pairs(beside) do
    count_beside(array, state, number)
  end
  local now_first, now_rank = unpack(redis.call('ZRANGE', queue, 0, 0, 'WITHSCORES'))
  change_head(array.group, now_first, now_rank, first, rank, now_first and id_of(now_first))
end

-- Read the groups with the most waiting jobs, and how long the oldest ones have waited.
--
-- Touches (reads): job:<id>, queue:<group>, heads, group:<group>.
-- Atomic because: a group may get its first job, or lose its last one, between the looks at both; and it is one round trip.
-- ARGV[2]: how many groups. Returns how many there are, the time of the submission of the oldest job of all ('' for none), and
-- three values a group: requirements, jobs, the time of the submission of its oldest one. Jobs that are delayed are in none.
--
-- The oldest job is the first of one of the priorities. Of a group with more than a few of these the lowest ones are looked
-- at: there jobs wait for longest.

local MOST_PRIORITIES = 16
local most, rows, total, oldest = tonumber(ARGV[2]), {}, 0, nil

-- The entry of the oldest job. `head` is the first entry, if it is known, and `first_rank` its score.
local function oldest_in(queue, head, first_rank)
  local rank, found = redis.call('ZRANGE', queue, -1, -1, 'WITHSCORES')[2], head
  for _ = 1, MOST_PRIORITIES do
    if not rank or head and tonumber(rank) == first_rank then
      break
    end
    local first = redis.call('ZRANGEBYSCORE', queue, rank, rank, 'LIMIT', 0, 1)[1]
    found = (not found or first < found) and first or found
    rank = redis.call('ZREVRANGEBYSCORE', queue, '(' .. rank, '-inf', 'WITHSCORES', 'LIMIT', 0, 1)[2]
  end
  return found
end

local function keep(row)
  if #rows == most and row.waiting <= rows[most].waiting then
    return
  end
  local at = math.min(#rows + 1, most)
  while at > 1 and rows[at - 1].waiting < row.waiting do
    rows[at], at = rows[at - 1], at - 1
  end
  rows[at] = row
end

local function look_at_group(group, entry)
  local waiting = redis.call('ZCARD', QUEUE .. group)
  if waiting > 0 then
    total = total + 1
    oldest = (not oldest or entry < oldest) and entry or oldest
    keep({group = group, waiting = waiting, oldest = entry})
  end
end

local function submission_of(entry)
  return redis.call('HGET', JOB .. string.sub(entry, 18), 'submitted') or ''
end

local any = oldest_in(QUEUE .. ANY)
if any then
  look_at_group(ANY, any)
end
for _, head in ipairs(redis.call('ZRANGE', HEADS, 0, -1)) do
  local group = string.sub(head, 35)
  local first = redis.call('ZRANGE', QUEUE .. group, 0, 0)[1]
  if first then
    look_at_group(group, oldest_in(QUEUE .. group, first, tonumber(string.sub(head, 1, 10)) - 1000000000))
  end
end

local answer = {}
for _, row in ipairs(rows) do
  answer[#answer + 1] = string.match(redis.call('GET', GROUP .. row.group) or '', '^%d+ (.*)$') or ''
  answer[#answer + 1] = row.waiting
  answer[#answer + 1] = submission_of(row.oldest)
end
return {total, oldest and submission_of(oldest) or '', answer}

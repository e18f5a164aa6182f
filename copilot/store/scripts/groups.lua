-- Read the groups with the most waiting jobs.
--
-- Touches (reads): job:<id>, array:<id>, in-ranges, queue:<group>, heads, plain-heads, group:<group>.
-- Atomic because: a group may get its first job, or lose its last one, between the looks at both; and it is one round trip.
-- ARGV[2]: how many groups. Returns how many there are, and seven values a group: its name, requirements, jobs, the time of the submission
-- of its oldest one, owner, project, rank. Jobs that are delayed are in none.

local most, rows, total = tonumber(ARGV[2]), {}, 0

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

local function look_at_group(group)
  local waiting = number_of_jobs(group)
  if waiting > 0 then
    total = total + 1
    keep({group = group, waiting = waiting})
  end
end

for _, group in ipairs(groups_with_jobs()) do
  look_at_group(group)
end

local answer = {}
for _, row in ipairs(rows) do
  answer[#answer + 1] = row.group
  answer[#answer + 1] = string.match(redis.call('GET', GROUP .. row.group) or '', '^%d+ (.*)$') or ''
  answer[#answer + 1] = row.waiting
  answer[#answer + 1] = oldest_in(row.group) or ''
  local owner, project, prefers = unpack(redis.call('HMGET', record_of(id_of(redis.call('ZRANGE', QUEUE .. row.group, 0, 0)[1])), 'owner', 'project', 'prefers'))
  answer[#answer + 1] = owner or ''
  answer[#answer + 1] = project or ''
  answer[#answer + 1] = prefers or ''
end
return {total, answer}

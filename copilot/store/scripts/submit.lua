-- Put jobs on the queue, all or none.
--
-- Touches: job:<id>, array:<id>, parts:<id>, in-ranges, numbered:<id>, queue:<group>, heads, plain-heads, seen,
-- group:<group>, groups, attributes, sequence, started, turns, shares, blocked, on-hold, awaits:<id>, awaited:<done or over>:<id>,
-- parked, owners, owners-running, events, paused.
-- Atomic because: two clients may submit one id at the same time, and one taken id must stop the whole batch.
-- ARGV[2…]: the share of Redis' memory above which no new job is taken ('' for no limit), how many groups with requirements
-- there may be, how many without, how many with requirements one owner in one project may have in any case, and how many for each that
-- is free then, how many jobs an owner may have on the queue ('' for no limit), then OF_JOB values a job as
-- `add_job` takes them: id, spec, group, rank, max_attempts, max_user_attempts, max_run_time ('' for none), attributes, needs, owner,
-- project, cores, what it waits for (blocking.lua): jobs that are known, or come before it here; and how many
-- elements it has, 0 if it is no array; its rank of hosts, '' for none; and why it is held from the beginning, '' if it is not.
-- Returns 'submitted'; or, with nothing changed, 'paused', 'full', 'groups' (there would be too many), 'groups-of-one' (for one owner in one project), 'many' (of an owner), 'taken'
-- and the first id that is taken by a different job, or 'unknown' or
-- 'element', a job and another one for which it cannot wait, for nobody knows that, or it is an element of an array. Jobs known with the same spec are left alone.

local OF_JOB = 16
local share, few, to_free, most_jobs = tonumber(ARGV[2]), tonumber(ARGV[5]), tonumber(ARGV[6]), tonumber(ARGV[7])
local most = {[HEADS] = tonumber(ARGV[3]), [PLAIN_HEADS] = tonumber(ARGV[4])}
local new, groups, seen, theirs = {}, {[HEADS] = {}, [PLAIN_HEADS] = {}}, {}, {}
for i = 8, #ARGV, OF_JOB do
  local size, group, owner = tonumber(ARGV[i + 13]), ARGV[i + 2], ARGV[i + 9]
  local spec = redis.call('HGET', (size > 0 and ARRAY or JOB) .. ARGV[i], 'spec')
  local taken = not spec and taken_by(ARGV[i], size)
  if taken then
    return {'taken', taken}
  end
  if not spec then
    new[#new + 1] = i
    theirs[owner] = (theirs[owner] or 0) + math.max(1, size)
    if not seen[group] then
      seen[group] = true
      table.insert(groups[heads_of(group)], group)
    end
  elseif spec ~= ARGV[i + 1] then
    return {'taken', ARGV[i]}
  end
end
-- Two of these may be in each other's way.
local sizes, highest = {}, {}
for _, i in ipairs(new) do
  local id, size = ARGV[i], tonumber(ARGV[i + 13])
  local name, index = element_name(id)
  if name and index < (sizes[name] or 0) or (highest[id] or size) < size then
    return {'taken', id}
  end
  sizes[id] = size
  if name then
    highest[name] = math.min(index, highest[name] or index)
  end
end
local earlier = {}
for _, i in ipairs(new) do
  for other in string.gmatch(ARGV[i + 12], '%a+:(%S+)') do
    if not earlier[other] and redis.call('EXISTS', JOB .. other, ARRAY .. other) == 0 then
      return {find_element(other) and 'element' or 'unknown', ARGV[i], other}
    elseif redis.call('HEXISTS', JOB .. other, 'array') == 1 then
      return {'element', ARGV[i], other}
    end
  end
  earlier[ARGV[i]] = true
end
if #new > 0 and is_paused('intake') then
  return {'paused'}
end
if share and #new > 0 and above(share) then
  return {'full'}
end
if most_jobs then
  for owner, jobs in pairs(theirs) do
    if jobs + tonumber(redis.call('ZSCORE', OWNERS, owner) or 0) > most_jobs then
      return {'many'}
    end
  end
end

-- Whether one owner in one project would have so many groups with requirements that few are left for others. They are counted when there are
-- many alone: then there are thousands of heads, which takes some milliseconds.
local function are_of_one(found)
  local new, all, mine = {}, redis.call('ZCARD', HEADS), {}
  for _, group in ipairs(found) do
    if redis.call('EXISTS', QUEUE .. group) == 0 and #group == GROUP_LENGTH then
      new[#new + 1] = group
    end
  end
  all = all + #new
  local most_of_one = math.max(few, to_free * (most[HEADS] - all))
  if #new == 0 or all <= most_of_one then
    return false
  end
  for _, group in ipairs(new) do
    local who = string.sub(group, 29, 44)
    mine[who] = (mine[who] or 0) + 1
  end
  for _, head in ipairs(redis.call('ZRANGE', HEADS, 0, -1)) do
    local group = group_of(head)
    local who = #group == GROUP_LENGTH and string.sub(group, 29, 44)
    if who and mine[who] then
      mine[who] = mine[who] + 1
    end
  end
  for _, number in pairs(mine) do
    if number > most_of_one then
      return true
    end
  end
  return false
end

for key, found in pairs(groups) do
  local heads = #found > 0 and redis.call('ZCARD', key) or 0
  if heads + #found > most[key] then -- some of them may be there already
    for _, group in ipairs(found) do
      heads = heads + 1 - redis.call('EXISTS', QUEUE .. group)
    end
    if heads > most[key] then
      return {'groups'}
    end
  end
end
if are_of_one(groups[HEADS]) then
  return {'groups-of-one'}
end
for _, i in ipairs(new) do
  add_job(unpack(ARGV, i, i + OF_JOB - 1))
end
write_places()
hint()
return {'submitted'}

-- Put jobs on the queue, all or none.
--
-- Touches: job:<id>, queue:<group>, heads, seen, group:<group>, groups, attributes, sequence, parked, owners,
-- owners-running, events, paused.
-- Atomic because: two clients may submit one id at the same time, and one taken id must stop the whole batch.
-- ARGV[2…]: the share of Redis' memory above which no new job is taken ('' for no limit), how many groups there may be,
-- how many jobs an owner may have on the queue ('' for no limit), then nine values a job: id, spec, group, rank, max_attempts,
-- max_user_attempts, max_run_time ('' for none), attributes, owner.
-- Returns 'submitted'; or, with nothing changed, 'paused', 'full', 'groups' (there would be too many), 'many' (of an owner), or 'taken'
-- and the first id that is taken by a different job. Jobs known with the same spec are left alone.

local share, most_groups, most_jobs = tonumber(ARGV[2]), tonumber(ARGV[3]), tonumber(ARGV[4])
local new, groups, seen, theirs = {}, {}, {[ANY] = true}, {}
for i = 5, #ARGV, 9 do
  local spec, group = redis.call('HGET', JOB .. ARGV[i], 'spec'), ARGV[i + 2]
  if not spec then
    new[#new + 1] = i
    theirs[ARGV[i + 8]] = (theirs[ARGV[i + 8]] or 0) + 1
    if not seen[group] then
      seen[group] = true
      groups[#groups + 1] = group
    end
  elseif spec ~= ARGV[i + 1] then
    return {'taken', ARGV[i]}
  end
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
local heads = #groups > 0 and redis.call('ZCARD', HEADS) or 0
if heads + #groups > most_groups then -- some of them may be there already
  for _, group in ipairs(groups) do
    heads = heads + 1 - redis.call('EXISTS', QUEUE .. group)
  end
  if heads > most_groups then
    return {'groups'}
  end
end
for _, i in ipairs(new) do
  add_job(unpack(ARGV, i, i + 8))
end
hint()
return {'submitted'}

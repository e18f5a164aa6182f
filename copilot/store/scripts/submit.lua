-- Put jobs on the queue, all or none.
--
-- Touches: job:<id>, queue:<group>, heads, seen, group:<group>, groups, attributes, sequence, parked, events.
-- Atomic because: two clients may submit one id at the same time, and one taken id must stop the whole batch.
-- ARGV[2…]: the share of Redis' memory above which no new job is taken ('' for no limit), how many groups there may be,
-- then eight values a job: id, spec, group, rank, max_attempts, max_user_attempts, max_run_time ('' for none), attributes.
-- Returns 'submitted'; or, with nothing changed, 'full', 'groups' (there would be too many), or 'taken' and the first id
-- that is taken by a different job. Jobs known with the same spec are left alone.

local share, most_groups = tonumber(ARGV[2]), tonumber(ARGV[3])
local new, groups, more = {}, {[ANY] = true}, 0
for i = 4, #ARGV, 8 do
  local spec = redis.call('HGET', JOB .. ARGV[i], 'spec')
  if not spec then
    new[#new + 1] = i
    local group = ARGV[i + 2]
    if not groups[group] and redis.call('EXISTS', QUEUE .. group) == 0 then
      more = more + 1
    end
    groups[group] = true
  elseif spec ~= ARGV[i + 1] then
    return {'taken', ARGV[i]}
  end
end
if share and #new > 0 and above(share) then
  return {'full'}
end
if more > 0 and redis.call('ZCARD', HEADS) + more > most_groups then
  return {'groups'}
end
for _, i in ipairs(new) do
  add_job(unpack(ARGV, i, i + 7))
end
hint()
return {'submitted'}

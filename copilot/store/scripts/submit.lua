-- Put jobs on the queue, all or none.
--
-- Touches: job:<id>, queue:<group>, sequence, parked, events.
-- Atomic because: two clients may submit one id at the same time, and one taken id must stop the whole batch.
-- ARGV[2…]: the share of Redis' memory above which no new job is taken ('' for no limit), then seven values a job: id,
-- spec, group, rank, max_attempts, max_user_attempts, max_run_time ('' for none).
-- Returns 'submitted'; or, with nothing changed, 'full', or 'taken' and the first id that is taken by a different job.
-- Jobs known with the same spec are left alone.

local share = tonumber(ARGV[2])
local new = {}
for i = 3, #ARGV, 7 do
  local spec = redis.call('HGET', JOB .. ARGV[i], 'spec')
  if not spec then
    new[#new + 1] = i
  elseif spec ~= ARGV[i + 1] then
    return {'taken', ARGV[i]}
  end
end
if share and #new > 0 and above(share) then
  return {'full'}
end
for _, i in ipairs(new) do
  add_job(unpack(ARGV, i, i + 6))
end
return {'submitted'}

-- Put jobs on the queue, all or none.
--
-- Touches: job:<id>, queue:<group>, sequence, events.
-- Atomic because: two clients may submit one id at the same time, and one taken id must stop the whole batch.
-- ARGV[2…]: six values a job: id, spec, group, rank, max_attempts, max_run_time ('' for none).
-- Returns '' or the first id that is taken by a different job. Jobs known with the same spec are left alone.

for i = 2, #ARGV, 6 do
  local spec = redis.call('HGET', JOB .. ARGV[i], 'spec')
  if spec and spec ~= ARGV[i + 1] then
    return ARGV[i]
  end
end
for i = 2, #ARGV, 6 do
  if redis.call('EXISTS', JOB .. ARGV[i]) == 0 then
    add_job(unpack(ARGV, i, i + 5))
  end
end
return ''

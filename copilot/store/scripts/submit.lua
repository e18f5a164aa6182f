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
  local id, spec, group, rank, max_attempts, max_run_time = unpack(ARGV, i, i + 5)
  if redis.call('EXISTS', JOB .. id) == 0 then
    local place = string.format('%016.0f', redis.call('INCR', SEQUENCE))
    redis.call('HSET', JOB .. id, 'spec', spec, 'group', group, 'rank', rank, 'place', place,
      'max_attempts', max_attempts, 'max_run_time', max_run_time, 'submitted', now,
      'state', 'waiting', 'attempt', 0, 'attempts_used', 0)
    put_in_queue(id)
    local written = event(id, 'submitted', '0', '', '', '')
    redis.call('HSET', JOB .. id, 'first_event', written[1])
  end
end
return ''

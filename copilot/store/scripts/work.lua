-- Read which of some jobs run, and who has them.
--
-- Touches (reads): job:<id>.
-- Atomic because: all are read in one step and one round trip.
-- ARGV[2…]: jobs. Returns six values for each that runs: id, attempt, agent, time of the claim, phase, cores ('' for one).

local answer = {}
for i = 2, #ARGV do
  if redis.call('HGET', JOB .. ARGV[i], 'state') == 'running' then
    append_work(answer, ARGV[i])
  end
end
return answer

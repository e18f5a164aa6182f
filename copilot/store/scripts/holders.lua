-- Read part of the running jobs, and who has them, in no order.
--
-- Touches (reads): running, job:<id>.
-- Atomic because: index and records are read in one step and one round trip.
-- ARGV[2…]: where to go on ('0' to begin), about how many. Returns where the next part begins ('0': this was the last), and
-- six values a job: id, attempt, agent, time of the claim, phase, cores ('' for one).
--
-- What runs from the first part to the last one is in one of them, or in two.

local from, found = unpack(redis.call('ZSCAN', RUNNING, ARGV[2], 'COUNT', ARGV[3]))
local answer = {}
for i = 1, #found, 2 do
  append_work(answer, found[i])
end
return {from, answer}

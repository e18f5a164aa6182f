-- Read what a job waits for yet.
--
-- Touches (reads): job:<id>, array:<id>, awaits:<id>.
-- Atomic because: names and states are read in one step and one round trip.
-- ARGV[2]: job. Returns two values each: its name in `awaits` and the state of that job.

local answer, names = {}, redis.call('SMEMBERS', AWAITS .. ARGV[2])
table.sort(names)
for _, name in ipairs(names) do
  answer[#answer + 1] = name
  answer[#answer + 1] = state_of(string.match(name, ':(.*)$')) or ''
end
return answer

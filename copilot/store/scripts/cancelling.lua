-- Read the running jobs that somebody wants to end, those that wait longest first.
--
-- Touches (reads): cancelling, job:<id>.
-- Atomic because: index and records are read in one step and one round trip.
-- ARGV[2]: how many. Returns three values a job: id, attempt, agent.

local answer = {}
for _, id in ipairs(redis.call('ZRANGE', CANCELLING, 0, tonumber(ARGV[2]) - 1)) do
  answer[#answer + 1] = id
  for _, value in ipairs(redis.call('HMGET', JOB .. id, 'attempt', 'agent')) do
    answer[#answer + 1] = value
  end
end
return answer

-- Read the owners with the most jobs on the queue, and how many of these run.
--
-- Touches (reads): owners, owners-running.
-- Atomic because: a job that is claimed between both counts would wait and run.
-- ARGV[2]: how many. Returns how many owners have jobs, and three values an owner: name, jobs, how many of them run.

local found, answer = redis.call('ZREVRANGE', OWNERS, 0, tonumber(ARGV[2]) - 1, 'WITHSCORES'), {}
for i = 1, #found, 2 do
  answer[#answer + 1] = found[i]
  answer[#answer + 1] = found[i + 1]
  answer[#answer + 1] = redis.call('HGET', OWNERS_RUNNING, found[i]) or '0'
end
return {redis.call('ZCARD', OWNERS), answer}

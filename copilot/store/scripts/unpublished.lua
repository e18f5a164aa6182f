-- Read the oldest settled jobs that their finisher has not taken yet.
--
-- Touches (reads): unpublished, job:<id>.
-- Atomic because: index and records are read in one step and one round trip.
-- ARGV[2]: how many. Returns the fields of each hash as a flat list.

local answer = {}
for _, id in ipairs(redis.call('ZRANGE', UNPUBLISHED, 0, tonumber(ARGV[2]) - 1)) do
  answer[#answer + 1] = redis.call('HGETALL', JOB .. id)
end
return answer

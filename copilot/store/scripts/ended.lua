-- Read jobs in a final state that ended before a time, oldest first.
--
-- Touches (reads): done, failed, cancelled, job:<id>.
-- Atomic because: index and records are read in one step and one round trip.
-- ARGV[2…]: state, the time as the end of an open range, how many to leave out, how many to read.
-- Returns the fields of each hash as a flat list.

local state, before, skip, count = unpack(ARGV, 2)
local index = ({done = DONE, failed = FAILED, cancelled = CANCELLED})[state]
local answer = {}
for _, id in ipairs(redis.call('ZRANGEBYSCORE', index, '-inf', before, 'LIMIT', skip, count)) do
  answer[#answer + 1] = redis.call('HGETALL', JOB .. id)
end
return answer

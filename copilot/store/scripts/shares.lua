-- Read what owners and projects may have, and have.
--
-- Touches (reads): shares, in-use, owners-running.
-- Atomic because: limits and use are read in one step and one round trip.
-- ARGV[2…]: owner:<name> and project:<name>; all that was set if there is none. Returns four values for each: its name, what it may have
-- ('' for what everybody may), how many of its jobs run, and how many cores these use.

local names, answer = {unpack(ARGV, 2)}, {}
if #names == 0 then
  names = redis.call('HKEYS', SHARES)
  table.sort(names)
end
for _, name in ipairs(names) do
  local owner = string.match(name, '^owner:(.*)$')
  local jobs
  if owner then
    jobs = redis.call('HGET', OWNERS_RUNNING, owner)
  else
    jobs = redis.call('HGET', IN_USE, 'jobs:' .. name)
  end
  local more = redis.call('HGET', IN_USE, 'cores:' .. name)
  for _, value in ipairs({name, redis.call('HGET', SHARES, name) or '', jobs or '0', (jobs or 0) + (more or 0)}) do
    answer[#answer + 1] = value
  end
end
return answer

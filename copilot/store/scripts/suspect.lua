-- An agent that takes one job at a time asks for work: what it was given before, it seems to have lost.
--
-- Touches: held:<digest>, job:<id>, running.
-- Atomic because: a report may settle the attempt, or a claim renew it, between the look and the new deadline.
-- ARGV[2…]: digest of the agent's full JID, seconds since the claim before which nothing is suspected, seconds of grace.
-- Returns how many running attempts it holds.

even_if_full()
local digest, young, grace = unpack(ARGV, 2)
local holds = 0
for _, held in ipairs(redis.call('SMEMBERS', HELD .. digest)) do
  local id, attempt = string.match(held, '^(.*):(%d+)$')
  local state, current, claimed, suspected =
    unpack(redis.call('HMGET', JOB .. id, 'state', 'attempt', 'claimed', 'suspected'))
  if state ~= 'running' or current ~= attempt then
    redis.call('SREM', HELD .. digest, held)
  else
    holds = holds + 1
    if suspected ~= attempt and tonumber(claimed) + tonumber(young) <= tonumber(now) then
      redis.call('HSET', JOB .. id, 'suspected', attempt)
      redis.call('ZADD', RUNNING, 'LT', after(tonumber(grace)), id)
    end
  end
end
return holds

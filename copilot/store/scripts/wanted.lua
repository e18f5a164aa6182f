-- Take the outputs for which it is time to ask agents; nobody else gets them for a while.
--
-- Touches: job:<id>, watched, watch:<stream>:<id>.
-- Atomic because: all instances look at the same moment, and one question is enough.
-- ARGV[2…]: how many, seconds until each is due again.
-- Returns six values for each: job, stream, attempt, agent, offset (negative: before the end), '1' if the agent renews leases; and when the
-- next one is due ('' if nobody wants anything).
--
-- A wish that nobody has renewed is gone; its entry in `watched` goes here. What waits is looked at again later; of an attempt that has begun
-- since, all is wanted from its beginning.

local count, every = unpack(ARGV, 2)
local answer = {}
for _, name in ipairs(redis.call('ZRANGEBYSCORE', WATCHED, '-inf', now, 'LIMIT', 0, count)) do
  local stream, id = string.match(name, '^(%a+):(.*)$')
  local state, attempt, agent, lease, confirmed =
    unpack(redis.call('HMGET', JOB .. id, 'state', 'attempt', 'agent', 'lease', 'confirmed'))
  local known, offset = unpack(redis.call('HMGET', WATCH .. name, 'attempt', 'offset'))
  if not known or not state or state == 'done' or state == 'failed' or state == 'cancelled' then
    redis.call('ZREM', WATCHED, name)
  else
    redis.call('ZADD', WATCHED, after(tonumber(every)), name)
    if state == 'running' and confirmed then
      if known ~= attempt then
        offset = '0'
        redis.call('HSET', WATCH .. name, 'attempt', attempt, 'offset', offset)
        redis.call('HDEL', WATCH .. name, 'note', 'size')
      end
      for _, value in ipairs({id, stream, attempt, agent, offset, lease and '1' or ''}) do
        answer[#answer + 1] = value
      end
    end
  end
end
return {answer, redis.call('ZRANGE', WATCHED, 0, 0, 'WITHSCORES')[2] or ''}

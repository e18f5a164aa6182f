-- Forget a job that is over and whose result its finisher has taken.
--
-- Touches: job:<id>, array:<id>, parts:<id>, in-ranges, numbered:<id>, queue:<group>, heads, plain-heads, seen,
-- group:<group>, groups, attributes, attempts:<id>, done, failed, cancelled, awaits:<id>, awaited:<done or over>:<id>.
-- Atomic because: it may be retried in the same moment, and must then stay whole.
-- ARGV[2]: job. Returns 1, or 0 if it stays or is not known.
--
-- Only a job that is over is published, and a retry takes that back (publish.lua, retry.lua). One for which others wait stays: it may be
-- retried, and they would wait for ever.

local id = ARGV[2]
local published, whose = unpack(redis.call('HMGET', JOB .. id, 'published', 'array'))
local array, index, part
if published then
  if is_awaited(id) or whose and is_awaited(whose) then
    return 0
  end
  end_waiting(id)
  redis.call('ZREM', DONE, id)
  redis.call('ZREM', FAILED, id)
  redis.call('ZREM', CANCELLED, id)
  redis.call('DEL', JOB .. id, ATTEMPTS .. id)
  forget_number(id)
else
  array, index = find_element(id)
  part = array and part_of(array, index)
  if not part or part.state ~= 'cancelled' or is_awaited(array.id) then
    return 0
  end
  cut_out(array, part, index, index + 1)
  whose = array.id
end
if whose and forget_element(whose) then
  end_waiting(whose)
end
return 1

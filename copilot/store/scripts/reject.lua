-- Put an id aside that cannot become a job.
--
-- Touches: <list>:taking, <list>:rejected.
-- Atomic because: an id must not get lost between the lists, nor be put aside by two managers.
-- ARGV[2…]: <list>:taking, <list>:rejected, id.
-- Returns 1, or 0 if the id was no longer being taken.

local TAKING, REJECTED, id = unpack(ARGV, 2)
if redis.call('LREM', TAKING, 0, id) == 0 then
  return 0
end
redis.call('RPUSH', REJECTED, id)
return 1

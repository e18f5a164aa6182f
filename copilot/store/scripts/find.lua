-- Read what there is of a name that no record has: an array, or an element that no agent ever had.
--
-- Touches (reads): job:<id>, array:<id>, parts:<id>.
-- Atomic because: an element gets its record in the moment in which it is claimed.
-- ARGV[2]: id. Returns nothing; the fields of a record; 'array' and the fields of an array; or number, state, since when, outcome of an element
-- and the fields of its array.

local id = ARGV[2]
local found = redis.call('HGETALL', JOB .. id)
if #found > 0 then
  return found
end
if redis.call('EXISTS', ARRAY .. id) == 1 then
  return {'array', redis.call('HGETALL', ARRAY .. id)}
end
local array, index = find_element(id)
local part = array and part_of(array, index)
return part and {index, part.state, part.since, part.outcome, redis.call('HGETALL', ARRAY .. array.id)} or {}

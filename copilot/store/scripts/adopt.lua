-- Make a job of the old format one of ours: the record as `submit` makes it, and nothing left of the old one.
--
-- Touches: job:<id>, array:<id>, parts:<id>, in-ranges, numbered:<id>, queue:<group>, heads, plain-heads, seen,
-- group:<group>, groups, attributes, sequence, started, turns, shares, blocked, on-hold, awaits:<id>, awaited:<done or over>:<id>,
-- parked, owners, owners-running, events, paused, job:<id>:description, <list>:taking.
-- Atomic because: several managers may be at the same id, each may die at any time, and a tool may write meanwhile.
-- ARGV[2…]: <list>:taking, job:<id>:description, the description as it was read ('' for none), the share of Redis'
-- memory above which no new job is taken ('' for no limit), id, spec, group, rank, max_attempts, max_user_attempts,
-- max_run_time, attributes, needs, owner, project, cores, what it waits for, size, rank of hosts, why it is held. Without a description all after the id are missing.
-- Returns 'adopted'; 'known' (the same job was adopted before; the id is taken off all the same); or, with nothing
-- changed, 'missing' (neither description nor job), 'changed' (another description than was read), 'taken' (the id is
-- that of another job), 'full' (the memory is), 'paused' (no new job is taken).

local TAKING, DESCRIPTION, text, share, id, spec = unpack(ARGV, 2, 7)
local found = redis.call('GET', DESCRIPTION)
local known = redis.call('HGET', JOB .. id, 'spec')
if not found and not known then
  return 'missing'
elseif found and (found ~= text or not spec) then
  return 'changed'
elseif found and known and known ~= spec then
  return 'taken'
end
if not known and is_paused('intake') then
  return 'paused'
elseif not known and tonumber(share) and above(tonumber(share)) then
  return 'full'
elseif not known then
  add_job(unpack(ARGV, 6))
  write_places()
  hint()
end
redis.call('LREM', TAKING, 0, id)
redis.call('DEL', DESCRIPTION)
return known and 'known' or 'adopted'

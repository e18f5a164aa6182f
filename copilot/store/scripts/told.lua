-- Read what a part of the event stream tells of one job.
--
-- Touches (reads): events.
-- Atomic because: it is one command; the script spares the way of all the entries that are about other jobs.
-- ARGV[2…]: job, the id of the entry behind which to begin, how many entries to look at. Returns how many were looked at, the id
-- of the last one ('' for none), and the events about the job as flat lists.

local job, behind, count = unpack(ARGV, 2)
local entries, answer = redis.call('XRANGE', EVENTS, '(' .. behind, '+', 'COUNT', count), {}
for _, entry in ipairs(entries) do
  local id, flat = unpack(entry)
  if flat[4] == job then
    answer[#answer + 1] = {id, flat[2], flat[4], flat[6], flat[8], flat[10], flat[12], flat[14]}
  end
end
return {#entries, #entries > 0 and entries[#entries][1] or '', answer}

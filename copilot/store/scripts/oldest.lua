-- Read when the oldest job of some groups was submitted.
--
-- Touches (reads): job:<id>, queue:<group>, heads.
-- Atomic because: a job that leaves its queue between the looks at both would be taken for one that waits.
-- ARGV[2…]: the member of `heads` behind which to begin, '' for the jobs without requirements and the first heads; how many
-- groups. Returns the time of the submission ('' if there is none), and where to go on ('' after the last group).

local behind, count = ARGV[2], tonumber(ARGV[3])
local heads = redis.call('ZRANGEBYLEX', HEADS, behind == '' and '-' or '(' .. behind, '+', 'LIMIT', 0, count)
local oldest = behind == '' and oldest_in(ANY) or nil
for _, head in ipairs(heads) do
  local found = oldest_in(string.sub(head, 35))
  oldest = found and (not oldest or found < oldest) and found or oldest
end
return {oldest and submission_of(oldest) or '', #heads == count and heads[count] or ''}

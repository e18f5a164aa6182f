-- Read when the oldest job of some groups was submitted.
--
-- Touches (reads): job:<id>, array:<id>, queue:<group>, heads, plain-heads.
-- Atomic because: a job that leaves its queue between the looks at both would be taken for one that waits.
-- ARGV[2…]: the place behind which to begin, '' for the first groups; how many groups.
-- Returns the time of the submission ('' if there is none), and where to go on ('' after the last group): a member of `plain-heads`
-- behind PLAIN_PLACE, or one of `heads`.

local PLAIN_PLACE = '+'
local behind, count = ARGV[2], tonumber(ARGV[3])
local oldest

local function look_at_groups(key, from)
  local heads = redis.call('ZRANGEBYLEX', key, from == '' and '-' or '(' .. from, '+', 'LIMIT', 0, count)
  for _, head in ipairs(heads) do
    local found = oldest_in(group_of(head))
    oldest = found and (not oldest or tonumber(found) < tonumber(oldest)) and found or oldest
  end
  count = count - #heads
  return count == 0 and heads[#heads] or ''
end

if behind == '' then
  oldest = oldest_in(ANY)
end
local go_on = ''
if behind == '' or string.sub(behind, 1, 1) == PLAIN_PLACE then
  go_on = look_at_groups(PLAIN_HEADS, string.sub(behind, 2))
  go_on = go_on ~= '' and PLAIN_PLACE .. go_on or ''
  behind = ''
end
if count > 0 then
  go_on = look_at_groups(HEADS, behind)
end
return {oldest or '', go_on}

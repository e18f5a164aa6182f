-- The queue is of this version's format from now on (decision 25).
--
-- Touches: format, running, cancelling, delayed, running-of-1, cancelling-of-1, delayed-of-1.
-- Atomic because: managers of the version before may run, and must find all or nothing of what they know.
-- ARGV[2]: our format; our version. Returns the format and the version that the queue has after it: newer ones stay.
--
-- What managers of format 1 look at has other names now. Under the old ones stands what their scripts stop at before they have changed anything:
-- a claim, a dispatch and the reaper read `delayed` first, and cannot put into the queue what is no job; what ends an attempt or a job that waits
-- begins by taking it out of `cancelling` or `running`, which are no sorted sets. To take an entry out of `delayed` changes nothing, and may.

local FENCE = 'this queue is of a newer version of Co-Pilot'
local ours, version = unpack(ARGV, 2)

local found, by = string.match(redis.call('GET', FORMAT) or '', '^(%d+) (.*)$')
if found and tonumber(found) > tonumber(ours) then
  return {found, by}
end

local function take(from, to)
  if redis.call('TYPE', from).ok ~= 'zset' then
    return
  elseif redis.call('EXISTS', to) == 0 then
    redis.call('RENAME', from, to)
  else -- somebody had taken the fence away
    redis.call('ZUNIONSTORE', to, 2, to, from, 'AGGREGATE', 'MAX')
    redis.call('DEL', from)
  end
end

take(RUNNING_OF_1, RUNNING)
take(CANCELLING_OF_1, CANCELLING)
redis.call('ZREM', DELAYED_OF_1, FENCE)
take(DELAYED_OF_1, DELAYED)
redis.call('SET', RUNNING_OF_1, FENCE)
redis.call('SET', CANCELLING_OF_1, FENCE)
redis.call('ZADD', DELAYED_OF_1, '-inf', FENCE)
redis.call('SET', FORMAT, ours .. ' ' .. version)
return {ours, version}

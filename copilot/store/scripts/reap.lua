-- Take back attempts that ran out of time, those longest overdue first, and let jobs into the queue whose delay is over, or that wait
-- for jobs that are over.
--
-- Touches: job:<id>, array:<id>, parts:<id>, in-ranges, queue:<group>, heads, plain-heads, seen, group:<group>, groups,
-- attributes, attempts:<id>, started, turns, in-use, running, done, failed, cancelled, cancelling, on-hold, blocked,
-- awaits:<id>, awaited:<done or over>:<id>, letting-in, delayed, agents, failing, trials, unpublished, parked, owners,
-- owners-running, events, usage:<by>:<day>.
-- Atomic because: every instance reaps, and a report or a confirmation may come in the same moment.
-- ARGV[2…]: how many; seconds that agents had to renew their leases; seconds that attempts without a lease have for
-- that; cause and text for attempts that were never confirmed; cause, outcome and text for those that ran too long, for
-- those that their agent has lost, and for those whose lease ran out. Returns the events that were written, as flat
-- lists.
--
-- What still has time left to renew, by its own lease, must not keep the others from being looked at.
--
-- A job that goes back keeps `settled` as it was: until it is claimed again, the old attempt's report is welcome
-- (see finish.lua).

even_if_full()
local MOST_OVERDUE_AT_ONCE = 5000
local count, up_for, least, unconfirmed_cause, unconfirmed_text = unpack(ARGV, 2, 6)
local late, lost, silent = {unpack(ARGV, 7, 9)}, {unpack(ARGV, 10, 12)}, {unpack(ARGV, 13, 15)}
local answer = {}

local function take_back(id, attempt, agent, cause, outcome, text)
  local used, most = unpack(redis.call('HMGET', JOB .. id, 'attempts_used', 'max_attempts'))
  local again = tonumber(used) < tonumber(most)
  charge(id, attempt, agent, cause, outcome, not again)
  if again then
    return requeue(id, attempt, agent, cause, outcome, text)
  end
  return settle(id, attempt, agent, cause, outcome, '', text)
end

end_delays()
go_on_letting_in()
local left = tonumber(count)
for _, id in ipairs(redis.call('ZRANGEBYSCORE', RUNNING, '-inf', now, 'LIMIT', 0, MOST_OVERDUE_AT_ONCE)) do
  if left == 0 then
    break
  end
  local attempt, agent, confirmed, suspected, lease =
    unpack(redis.call('HMGET', JOB .. id, 'attempt', 'agent', 'confirmed', 'suspected', 'lease'))
  if not confirmed or tonumber(lease or least) <= tonumber(up_for) then
    local written, quarantined
    if not confirmed then
      written = hand_back(id, attempt, agent, unconfirmed_cause, unconfirmed_text)
    else
      local why = suspected == attempt and lost or lease and silent or late
      written = take_back(id, attempt, agent, unpack(why))
      quarantined = judge(id, agent, why[1])
    end
    answer[#answer + 1] = written
    answer[#answer + 1] = quarantined
    left = left - 1
  end
end
return answer

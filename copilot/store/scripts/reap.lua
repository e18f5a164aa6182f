-- Take back attempts that ran out of time, those longest overdue first.
--
-- Touches: job:<id>, running, queue:<group>, done, failed, unpublished, events.
-- Atomic because: every instance reaps, and a report or a confirmation may come in the same moment.
-- ARGV[2…]: how many; cause and text for attempts that were never confirmed; cause, outcome and text for those that
-- ran too long, then for those that their agent has lost. Returns the events that were written, as flat lists.
--
-- `done` is here only because `settle` knows it.
-- A job that goes back keeps `settled` as it was: until it is claimed again, the old attempt's report is welcome
-- (see finish.lua).

local count, unconfirmed_cause, unconfirmed_text = unpack(ARGV, 2, 4)
local late, lost = {unpack(ARGV, 5, 7)}, {unpack(ARGV, 8, 10)}
local answer = {}
for _, id in ipairs(redis.call('ZRANGEBYSCORE', RUNNING, '-inf', now, 'LIMIT', 0, count)) do
  local attempt, agent, confirmed, used, most, suspected = unpack(redis.call('HMGET', JOB .. id, 'attempt', 'agent',
    'confirmed', 'attempts_used', 'max_attempts', 'suspected'))
  local cause, outcome, text = unpack(suspected == attempt and lost or late)
  local written
  if not confirmed then
    written = hand_back(id, attempt, agent, unconfirmed_cause, unconfirmed_text)
  elseif tonumber(used) < tonumber(most) then
    written = requeue(id, attempt, agent, cause, outcome, text)
  else
    written = settle(id, attempt, agent, cause, outcome, '', text)
  end
  answer[#answer + 1] = written
end
return answer

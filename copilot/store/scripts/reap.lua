-- Take back attempts that ran out of time, those longest overdue first.
--
-- Touches: job:<id>, running, queue:<group>, done, failed, unpublished, events.
-- Atomic because: every instance reaps, and a report or a confirmation may come in the same moment.
-- ARGV[2…]: how many; cause and text for attempts that were never confirmed; cause, outcome and text for those that
-- ran too long. Returns the events that were written, as flat lists.
--
-- What ran too long failed without output: `done` and `unpublished` are here only because `settle` knows them.
-- A job that goes back keeps `settled` as it was: until it is claimed again, the old attempt's report is welcome
-- (see finish.lua).

local count, lost_cause, lost_text, late_cause, late_outcome, late_text = unpack(ARGV, 2)
local answer = {}
for _, id in ipairs(redis.call('ZRANGEBYSCORE', RUNNING, '-inf', now, 'LIMIT', 0, count)) do
  local attempt, agent, confirmed, used, most =
    unpack(redis.call('HMGET', JOB .. id, 'attempt', 'agent', 'confirmed', 'attempts_used', 'max_attempts'))
  local written
  if not confirmed then
    written = hand_back(id, attempt, agent, lost_cause, lost_text)
  elseif tonumber(used) < tonumber(most) then
    written = requeue(id, attempt, agent, late_cause, late_outcome, late_text)
  else
    written = settle(id, attempt, agent, late_cause, late_outcome, '', late_text)
  end
  answer[#answer + 1] = written
end
return answer

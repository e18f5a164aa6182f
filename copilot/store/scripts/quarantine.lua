-- Read how long an agent is still in quarantine.
--
-- Touches (reads): trials.
-- Atomic because: the end is compared with the clock that has set it.
-- ARGV[2]: agent. Returns seconds, 0 if it is not.

return exact(math.max(0, tonumber(read_trial(ARGV[2]).ends) - tonumber(now)))

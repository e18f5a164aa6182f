-- Have a job that failed or was cancelled run once more, with all its attempts.
--
-- Touches: job:<id>, array:<id>, parts:<id>, in-ranges, queue:<group>, heads, plain-heads, seen, group:<group>, groups,
-- attributes, started, turns, in-use, failed, cancelled, blocked, awaits:<id>, awaited:<done or over>:<id>, letting-in,
-- delayed, parked, owners, owners-running, events.
-- Atomic because: it must leave the one index and enter the other in one step.
-- ARGV[2…]: job, text. Returns whether that changed anything, and the state after it ('' if unknown).

return retry_job(unpack(ARGV, 2))

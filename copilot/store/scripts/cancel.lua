-- Somebody wants a job to end.
--
-- Touches: job:<id>, array:<id>, parts:<id>, in-ranges, queue:<group>, heads, plain-heads, seen, group:<group>, groups,
-- attributes, attempts:<id>, started, turns, in-use, running, done, failed, cancelled, cancelling, on-hold, blocked,
-- awaits:<id>, awaited:<done or over>:<id>, letting-in, delayed, unpublished, parked, owners, owners-running, events.
-- Atomic because: a job that is claimed, or whose report comes, in the same moment must either end or be told to.
-- ARGV[2…]: job, the outcome if it is over at once or its attempt ends without a report, text.
-- Returns whether that changed anything, and the state after it ('' if unknown).

even_if_full()
return cancel_job(unpack(ARGV, 2))

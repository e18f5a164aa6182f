-- Let a held job wait again, at its old place; or for others, if it did. One that waits for others waits for none any more.
--
-- Touches: job:<id>, array:<id>, parts:<id>, in-ranges, queue:<group>, heads, plain-heads, seen, group:<group>, groups,
-- attributes, started, turns, in-use, on-hold, blocked, awaits:<id>, awaited:<done or over>:<id>, letting-in, delayed,
-- parked, owners, owners-running, events.
-- Atomic because: it may be cancelled in the same moment.
-- ARGV[2…]: job, text. Returns whether that changed anything, and the state after it ('' if unknown).

return release_job(unpack(ARGV, 2))

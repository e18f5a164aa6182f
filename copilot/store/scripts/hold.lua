-- Keep a waiting or blocked job out of the queue until it is released.
--
-- Touches: job:<id>, array:<id>, parts:<id>, in-ranges, queue:<group>, heads, plain-heads, seen, group:<group>, groups,
-- attributes, started, turns, in-use, on-hold, blocked, awaits:<id>, awaited:<done or over>:<id>, letting-in, delayed,
-- parked, owners, owners-running, events.
-- Atomic because: it may be claimed in the same moment, and must not be both.
-- ARGV[2…]: job, text. Returns whether that changed anything, and the state after it ('' if unknown).

return hold_job(unpack(ARGV, 2))

-- Count the jobs that wait in queues.
--
-- Touches (reads): in-ranges, queue:<group>, heads, plain-heads.
-- Atomic because: a group may get its first job, or lose its last one, between the look at both.
-- Returns their number.

return in_queues()

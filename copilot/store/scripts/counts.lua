-- Count the jobs in each state.
--
-- Touches (reads): in-ranges, queue:<group>, heads, plain-heads, running, done, failed, cancelled, on-hold, blocked,
-- delayed.
-- Atomic because: a job that moves between two counts would be counted twice or not at all.
-- Returns waiting, running, done, failed, cancelled, held, blocked.

return {
  in_queues() + redis.call('ZCARD', DELAYED),
  redis.call('ZCARD', RUNNING),
  redis.call('ZCARD', DONE),
  redis.call('ZCARD', FAILED),
  number_in(CANCELLED, 'cancelled'),
  number_in(ON_HOLD, 'held'),
  number_in(BLOCKED, 'blocked'),
}

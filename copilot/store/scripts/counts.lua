-- Count the jobs in each state.
--
-- Touches (reads): queue:<group>, delayed, running, done, failed, cancelled, on-hold.
-- Atomic because: a job that moves between two counts would be counted twice or not at all.
-- ARGV[2]: group. Returns waiting, running, done, failed, cancelled, held.

return {
  redis.call('ZCARD', QUEUE .. ARGV[2]) + redis.call('ZCARD', DELAYED),
  redis.call('ZCARD', RUNNING),
  redis.call('ZCARD', DONE),
  redis.call('ZCARD', FAILED),
  redis.call('ZCARD', CANCELLED),
  redis.call('ZCARD', ON_HOLD),
}

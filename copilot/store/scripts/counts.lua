-- Count the jobs in each state.
--
-- Touches (reads): queue:<group>, running, done, failed.
-- Atomic because: a job that moves between two counts would be counted twice or not at all.
-- ARGV[2]: group. Returns waiting, running, done, failed.

return {
  redis.call('ZCARD', QUEUE .. ARGV[2]),
  redis.call('ZCARD', RUNNING),
  redis.call('ZCARD', DONE),
  redis.call('ZCARD', FAILED),
}

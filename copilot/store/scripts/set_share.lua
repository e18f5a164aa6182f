-- Somebody sets what an owner or a project may have.
--
-- Touches: shares.
-- Atomic because: it is written in one step and one round trip.
-- ARGV[2…]: owner:<name> or project:<name>, what it may have ('' for what everybody may).

if ARGV[3] == '' then
  redis.call('HDEL', SHARES, ARGV[2])
else
  redis.call('HSET', SHARES, ARGV[2], ARGV[3])
end
return 1

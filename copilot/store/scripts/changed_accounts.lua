-- Read the accounts that were changed after a number.
--
-- Touches (reads): accounts, accounts-changed.
-- Atomic because: a number that is told must go with the record that it belongs to.
-- ARGV[2…]: the number, how many at most. Returns number, bare JID and record of each by turns, the oldest change first.

local found = redis.call('ZRANGEBYSCORE', ACCOUNTS_CHANGED, '(' .. ARGV[2], '+inf', 'WITHSCORES', 'LIMIT', 0, ARGV[3])
local answer = {}
for i = 1, #found, 2 do
  answer[#answer + 1] = found[i + 1]
  answer[#answer + 1] = found[i]
  answer[#answer + 1] = redis.call('HGET', ACCOUNTS, found[i])
end
return answer

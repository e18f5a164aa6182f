-- Take errands to the XMPP server, those due first first.
--
-- Touches: errands, errands-due.
-- Atomic because: each is to be taken by one instance at a time.
-- ARGV[2…]: how many, seconds for which they are left to who takes them. Returns bare JID and errand by turns.

local answer = {}
for _, jid in ipairs(redis.call('ZRANGEBYSCORE', ERRANDS_DUE, '-inf', now, 'LIMIT', 0, ARGV[2])) do
  redis.call('ZADD', ERRANDS_DUE, after(tonumber(ARGV[3])), jid)
  answer[#answer + 1] = jid
  answer[#answer + 1] = redis.call('HGET', ERRANDS, jid)
end
return answer

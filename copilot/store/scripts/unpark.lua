-- An agent is not there any more: it gets nothing unless it asks, and nothing is kept there (reserving.lua).
--
-- Touches: job:<id>, parked, parking, hosts, alive.
-- Atomic because: both tell of the same agents.
-- ARGV[2…]: its full JID, and for how many seconds it must have been parked. Returns 1, or 0 if it was not.

even_if_full()
local jid, seconds = unpack(ARGV, 2)
local asked = redis.call('ZSCORE', HOSTS, jid)
if asked and tonumber(asked) <= tonumber(after(-tonumber(seconds))) then
  note_absence(jid)
end
local since = redis.call('ZSCORE', PARKED, jid)
if since and tonumber(since) > tonumber(after(-tonumber(seconds))) then
  return 0
end
if not since then
  return 0
end
return unpark(jid)

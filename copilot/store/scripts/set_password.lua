-- What the dashboard checks the password of an account against.
--
-- Touches: passwords.
-- Atomic because: it is written with its entry of the audit trail (audit.lua).
-- ARGV[2…]: the key, bare JID, the line ('' for none). Returns 1.

local PASSWORDS, jid, line = unpack(ARGV, 2, 4)
if line == '' then
  redis.call('HDEL', PASSWORDS, jid)
else
  redis.call('HSET', PASSWORDS, jid, line)
end
return 1

-- An account ends at a time.
--
-- Touches: accounts, accounts-changed, accounts-ending, parked.
-- Atomic because: one that was revoked or has ended in that moment must stay so.
-- ARGV[2…]: bare JID, the record for one that has none, the time ('' for never). Returns 1, or 0 if it counts no more.

local jid, line, expires = unpack(ARGV, 2, 4)
local account = read_account(jid) or cjson.decode(line)
if not counts(account) then
  return 0
end
account.expires = expires
if account.created == '' then
  account.created = now
end
write_account(jid, cjson.encode(account), expires)
return 1

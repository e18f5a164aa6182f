-- Write an account record as it stands, and tell the XMPP server of it if there is a password.
--
-- Touches: accounts, accounts-changed, accounts-ending, errands, errands-due, parked.
-- Atomic because: who sees the record must find the errand, and no change may have the number of another one.
-- ARGV[2…]: bare JID, the record, when it ends ('' for never), password ('' for none).

local jid, line, expires, password = unpack(ARGV, 2, 5)
local account = cjson.decode(line)
if account.created == '' then
  account.created = now
  line = cjson.encode(account)
end
write_account(jid, line, expires)
if password ~= '' then
  send_errand(jid, password, 0)
end
return 1

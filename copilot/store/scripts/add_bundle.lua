-- A new bundle, and its temporary account.
--
-- Touches: bundles, accounts, accounts-changed, accounts-ending, errands, errands-due, parked.
-- Atomic because: nobody may come in by an account whose record does not say yet that it is a bundle's.
-- ARGV[2…]: id, the bundle, bare JID, its record, when it ends ('' for never), password. Returns 1, or 0 if the id or the name is
-- taken by another one.

local id, bundle, jid, line, expires, password = unpack(ARGV, 2, 7)
local function dated(text)
  local found = cjson.decode(text)
  if found.created == '' then
    found.created = now
  end
  return cjson.encode(found)
end
local known = redis.call('HGET', BUNDLES, id)
if known and cjson.decode(known).hash ~= cjson.decode(bundle).hash then
  return 0
end
if not known then
  if redis.call('HEXISTS', ACCOUNTS, jid) == 1 then
    return 0
  end
  redis.call('HSET', BUNDLES, id, dated(bundle))
  write_account(jid, dated(line), expires)
end
send_errand(jid, password, 0)
return 1

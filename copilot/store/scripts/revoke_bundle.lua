-- Nobody comes in by a bundle any more.
--
-- Touches: job:<id>, bundles, accounts, accounts-changed, accounts-ending, errands, errands-due, parked.
-- Atomic because: an agent that comes in at that moment comes before or not at all.
-- ARGV[2]: its id. Returns 1, or 0 if there is none, or it was revoked before.

even_if_full()
local line = redis.call('HGET', BUNDLES, ARGV[2])
local bundle = line and cjson.decode(line)
if not bundle or bundle.revoked then
  return 0
end
bundle.revoked = true
redis.call('HSET', BUNDLES, ARGV[2], cjson.encode(bundle))
local account = read_account(bundle.jid)
account.revoked = true
write_account(bundle.jid, cjson.encode(account), '')
send_errand(bundle.jid, nil, 0)
return 1

-- An agent comes in by a bundle.
--
-- Touches: bundles, accounts, accounts-changed, accounts-ending, errands, errands-due, parked.
-- Atomic because: of two agents that want the last place one gets it; and a bundle that is revoked lets nobody in any more.
-- ARGV[2…]: bare JID of who asks, id of the bundle, hash of the secret, bare JID of the agent, its record, its password, seconds
-- until the account of a bundle goes that is used up. Returns what became of it (accounts.Entry), then the agent's record if it is in.
--
-- The hashes are compared as Lua compares words: by their address, which takes the same time whatever they are.
-- The same key again gets the same account, also when the bundle is used up: that may be its own doing.

local by, id, hash, jid, line, password, grace = unpack(ARGV, 2, 8)
local found = redis.call('HGET', BUNDLES, id)
local bundle = found and cjson.decode(found)
if not bundle or bundle.jid ~= by or bundle.hash ~= hash then
  return {'unknown'}
end
if bundle.revoked then
  return {'revoked'}
end
if ended(bundle.expires) then
  return {'expired'}
end
local account, known = cjson.decode(line), read_account(jid)
if known then
  if known.key ~= account.key or known.standing ~= 'agent' then
    return {'taken'}
  end
  if known.revoked then
    return {'revoked'}
  end
  if ended(known.expires) then
    return {'expired'}
  end
  send_errand(jid, password, 0)
  return {'again', redis.call('HGET', ACCOUNTS, jid)}
end
if bundle.used >= bundle.agents then
  return {'used-up'}
end
bundle.used = bundle.used + 1
redis.call('HSET', BUNDLES, id, cjson.encode(bundle))
account.projects, account.bundle, account.created = bundle.projects, id, now
line = cjson.encode(account)
write_account(jid, line, account.expires)
send_errand(jid, password, 0)
if bundle.used >= bundle.agents then
  send_errand(by, nil, tonumber(grace))
end
return {'enrolled', line}

-- An errand was carried out, or could not be.
--
-- Touches: accounts, accounts-changed, errands, errands-due.
-- Atomic because: what somebody wants since then must not be struck off with it.
-- ARGV[2…]: bare JID, number of the errand, why it could not be done ('' if it was), seconds until it is tried again.
-- Returns 1, or 0 if something else is wanted by now.

local jid, number, reason, seconds = unpack(ARGV, 2, 5)
local line = redis.call('HGET', ERRANDS, jid)
local errand = line and cjson.decode(line)
if not errand or errand.number ~= tonumber(number) then
  -- It may have made an account after the later one has removed it: so that is not over yet, or has to be done once more.
  local account = read_account(jid)
  if errand and not errand.password then
    redis.call('HSET', ERRANDS, jid, cjson.encode({number = note_change(jid)}))
  elseif not errand and account and not counts(account) then
    send_errand(jid, nil, 0)
  end
  return 0
end
if reason == '' then
  redis.call('HDEL', ERRANDS, jid)
  redis.call('ZREM', ERRANDS_DUE, jid)
else
  errand.tried = reason
  redis.call('HSET', ERRANDS, jid, cjson.encode(errand))
  redis.call('ZADD', ERRANDS_DUE, after(tonumber(seconds)), jid)
end
return 1

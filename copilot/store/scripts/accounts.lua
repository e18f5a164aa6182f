-- Account records (decision 17). The loader puts it in front of the scripts that use it.
--
-- `accounts` has a line of JSON for each bare JID; times stand there as text, '' for never. `accounts-changed` has the number of
-- each one's last change. `errands` has what the XMPP server is to be told of an account, as JSON with a number of its own, and
-- `errands-due` when the next instance may try it: an account there may be far ahead of the record, or behind it, and any
-- number of instances may be at it, but only the errand that was written last is struck off.

local function ended(expires)
  return expires ~= '' and tonumber(expires) <= tonumber(now)
end

local function read_account(jid)
  local line = redis.call('HGET', ACCOUNTS, jid)
  return line and cjson.decode(line)
end

local function counts(account)
  return not account.revoked and not ended(account.expires)
end

-- Whether jobs may be given to whose account this is, or left with it.
local function has_jobs(account)
  return account.standing == 'agent' and counts(account)
end

-- The same of a bare JID. Who has no record is for the managers to judge.
local function may_have_jobs(jid)
  local account = read_account(jid)
  return not account or has_jobs(account)
end

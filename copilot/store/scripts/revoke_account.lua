-- A bare JID is nobody from now on.
--
-- Touches: job:<id>, array:<id>, parts:<id>, in-ranges, queue:<group>, heads, plain-heads, seen, group:<group>, groups,
-- attributes, attempts:<id>, started, turns, in-use, running, done, failed, cancelled, cancelling, on-hold, blocked,
-- awaits:<id>, awaited:<done or over>:<id>, letting-in, draining, delayed, unpublished, parked, parking, owners,
-- owners-running, events, accounts, accounts-changed, accounts-ending, errands, errands-due, usage:<by>:<day>.
-- Atomic because: a job that is given out while it goes back must not stay with somebody who is cut off.
-- ARGV[2…]: bare JID, the record for one that has none, cause and text for its jobs. Returns '1', or '' if it was revoked before;
-- then the events that were written, as flat lists.

even_if_full()
local jid, line, cause, text = unpack(ARGV, 2, 5)
local account = read_account(jid) or cjson.decode(line)
local news = not account.revoked
if news then
  account.revoked = true
  if account.created == '' then
    account.created = now
  end
  write_account(jid, cjson.encode(account), '')
end
send_errand(jid, nil, 0)
return {news and '1' or '', cut_off(jid, cause, text)}

-- Accounts whose time is over are cut off, those first that ended first.
--
-- Touches: job:<id>, array:<id>, parts:<id>, in-ranges, queue:<group>, heads, plain-heads, seen, group:<group>, groups,
-- attributes, attempts:<id>, started, turns, in-use, running, done, failed, cancelled, cancelling, on-hold, blocked,
-- awaits:<id>, awaited:<done or over>:<id>, letting-in, draining, delayed, unpublished, parked, parking, owners,
-- owners-running, events, accounts, accounts-changed, accounts-ending, errands, errands-due, usage:<by>:<day>.
-- Atomic because: an account whose time is set anew in that moment must not be cut off.
-- ARGV[2…]: how many, cause and text for their jobs. Returns the events that were written, as flat lists.

even_if_full()
local back = {}
for _, jid in ipairs(redis.call('ZRANGEBYSCORE', ACCOUNTS_ENDING, '-inf', now, 'LIMIT', 0, ARGV[2])) do
  write_account(jid, redis.call('HGET', ACCOUNTS, jid), '')
  send_errand(jid, nil, 0)
  for _, written in ipairs(cut_off(jid, ARGV[3], ARGV[4])) do
    back[#back + 1] = written
  end
end
return back

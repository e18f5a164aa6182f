-- Somebody stops the queue, or lets it go on.
--
-- Touches: paused, parked, events.
-- Atomic because: what the event stream tells of it has happened.
-- ARGV[2…]: 'dispatch' or 'intake', '1' to stop it or '' to let it go on, by whom, why, text for the event. Returns 1, or 0 if that
-- changed nothing.

local gate, stop, by, reason, text = unpack(ARGV, 2)
if stop == '' then
  if redis.call('HDEL', PAUSED, gate) == 0 then
    return 0
  end
  event('', 'resumed', '0', '', '', text)
  hint()
  return 1
end
if redis.call('HSETNX', PAUSED, gate, cjson.encode({by = by, reason = reason, since = now})) == 0 then
  return 0
end
event('', 'paused', '0', '', '', text)
return 1

-- Somebody puts an agent in quarantine by hand.
--
-- Touches: set-aside, events.
-- Atomic because: what the event stream tells of it has happened, and entries whose time is over go.
-- ARGV[2…]: agent, seconds ('' for until somebody lets it out), by whom, why, text for the event, most entries. Returns 1, or 0 if
-- there are so many already.

local agent, seconds, by, reason, text, most = unpack(ARGV, 2)
for _, one in ipairs(redis.call('HKEYS', SET_ASIDE)) do
  if set_aside_for(one) == 0 then
    redis.call('HDEL', SET_ASIDE, one)
  end
end
if redis.call('HLEN', SET_ASIDE) >= tonumber(most) and redis.call('HEXISTS', SET_ASIDE, agent) == 0 then
  return 0
end
local ends = seconds == '' and '' or after(tonumber(seconds))
redis.call('HSET', SET_ASIDE, agent, cjson.encode({ends = ends, by = by, reason = reason, since = now}))
event('', 'quarantined', '0', agent, '', text)
return 1

-- Who has been there lately, so that it can be told why a job does not run. The loader puts it in front of the scripts that use it.
--
-- `hosts` has the full JIDs of agents by the time when they last asked for work, `alive` bare JIDs by the time when they last
-- renewed leases, or ten minutes before they were found gone. Who gets a job does not depend on them, but for that no agent is kept for one that
-- was not heard for ten minutes (reserving.lua).

local HOSTS_KEPT = 86400
local ONLINE_FOR = 600
local MOST_OLD_AT_ONCE = 10 -- two for one would do

local function note_time(key, name)
  redis.call('ZADD', key, now, name)
  redis.call('EXPIRE', key, HOSTS_KEPT)
  local old = redis.call('ZRANGEBYSCORE', key, '-inf', after(-HOSTS_KEPT), 'LIMIT', 0, MOST_OLD_AT_ONCE)
  if #old > 0 then
    redis.call('ZREM', key, unpack(old))
  end
end

-- This agent (full JID) has left, or cannot be reached: it counts as there when it is heard of again.
local function note_absence(jid)
  local long_ago = after(-ONLINE_FOR)
  redis.call('ZADD', HOSTS, 'XX', 'LT', long_ago, jid)
  redis.call('ZADD', ALIVE, long_ago, string.match(jid, '^[^/]*'))
  redis.call('EXPIRE', ALIVE, HOSTS_KEPT)
end

-- Changes of accounts. The loader puts it in front of the scripts that use it.

-- The account has changed; returns the number of the change, which no other one has. Records never go, so the last number is
-- there; unless Redis has lost the last ones when it died: so numbers follow the clock (ms), and what comes after that is above
-- what managers have seen before it.
local function note_change(jid)
  local last = redis.call('ZREVRANGE', ACCOUNTS_CHANGED, 0, 0, 'WITHSCORES')[2] or 0
  local number = math.max(tonumber(last) + 1, math.floor(tonumber(now) * 1000))
  redis.call('ZADD', ACCOUNTS_CHANGED, string.format('%.0f', number), jid)
  return number
end

local function write_account(jid, line, expires)
  redis.call('HSET', ACCOUNTS, jid, line)
  note_change(jid)
  if expires == '' then
    redis.call('ZREM', ACCOUNTS_ENDING, jid)
  else
    redis.call('ZADD', ACCOUNTS_ENDING, expires, jid)
  end
  redis.pcall('PUBLISH', PARKED, '') -- managers look what is new; an account without rights on channels goes without
end

-- The XMPP server is to have the account, which has a record, with this password, or (nil) not at all.
local function send_errand(jid, password, seconds)
  local errand = {number = note_change(jid), password = password}
  redis.call('HSET', ERRANDS, jid, cjson.encode(errand))
  redis.call('ZADD', ERRANDS_DUE, after(seconds), jid)
end

-- Nobody by this bare JID has a job, or waits for one, from now on. What comes from it later changes nothing: its attempts
-- are settled (leave.lua). Returns the events that were written.
local function cut_off(jid, cause, text)
  local back = {}
  for _, id in ipairs(redis.call('ZRANGE', RUNNING, 0, -1)) do
    local attempt, owner = unpack(redis.call('HMGET', JOB .. id, 'attempt', 'agent'))
    if owner == jid then
      redis.call('HSET', JOB .. id, 'settled', attempt)
      back[#back + 1] = hand_back(id, attempt, jid, cause, text)
    end
  end
  for _, full in ipairs(redis.call('ZRANGE', PARKED, 0, -1)) do
    if string.lower(string.match(full, '^[^/]*')) == jid then
      unpark(full)
    end
  end
  redis.call('ZREM', DRAINING, jid)
  return back
end

-- Read the agents that asked for work or renewed leases lately, those that asked last first.
--
-- Touches (reads): hosts, alive, parked, parking, trials, draining, accounts.
-- Atomic because: all tell of the same agents at the same time.
-- ARGV[2]: how many at most. Returns the time, how many there are, and parts of at most 500 agents. A part has seven lists: full JIDs, each with
-- when it asked last behind it; then, nothing for none, since when each is parked, its entry of `parking`, when it renewed last, its entry
-- of `trials`, until when it is to be told to leave; and of which of them, from 0, the account is out, so that they may have no jobs.
-- The lists are as Redis has them, for with a thousand agents it took longer to make rows of them than to read them.

local AT_ONCE = 500
local most = tonumber(ARGV[2])
local answer = {}

-- Which of these may have no jobs.
local function out_of(agents)
  local out = {}
  for i, line in ipairs(redis.call('HMGET', ACCOUNTS, unpack(agents))) do
    if line and not has_jobs(cjson.decode(line)) then
      out[#out + 1] = i - 1
    end
  end
  return out
end

for first = 0, most - 1, AT_ONCE do
  local found = redis.call('ZREVRANGE', HOSTS, first, math.min(first + AT_ONCE, most) - 1, 'WITHSCORES')
  if #found == 0 then
    break
  end
  local jids, agents = {}, {}
  for i = 1, #found, 2 do
    local jid = found[i]
    jids[#jids + 1] = jid
    agents[#agents + 1] = string.match(jid, '^[^/]*')
  end
  answer[#answer + 1] = {
    found,
    redis.call('ZMSCORE', PARKED, unpack(jids)),
    redis.call('HMGET', PARKING, unpack(jids)),
    redis.call('ZMSCORE', ALIVE, unpack(agents)),
    redis.call('HMGET', TRIALS, unpack(agents)),
    redis.call('ZMSCORE', DRAINING, unpack(agents)),
    out_of(agents),
  }
end
return {now, redis.call('ZCARD', HOSTS), answer}

-- Read the agents that asked for work or renewed leases lately, those that asked last first.
--
-- Touches (reads): hosts, alive, parked, parking, trials, draining, accounts.
-- Atomic because: all tell of the same agents at the same time.
-- ARGV[2]: how many at most. Returns the time, how many there are, and eight values an agent: full JID, when it asked last; then, '' for none,
-- since when it is parked, its entry of `parking`, when it renewed last, its entry of `trials`, until when it is to be
-- told to leave, and '1' if it may have no jobs, for its account is out.

local AT_ONCE = 500
local SCORES = {[3] = PARKED, [5] = ALIVE, [7] = DRAINING}
local found = redis.call('ZREVRANGE', HOSTS, 0, tonumber(ARGV[2]) - 1, 'WITHSCORES')
local answer = {}

-- What each of these names has in a sorted set, or in a hash.
local function append(rows, at, names, values)
  for i = 1, #names do
    answer[rows + 8 * (i - 1) + at] = values[i] or ''
  end
end

for first = 1, #found, 2 * AT_ONCE do
  local jids, agents = {}, {}
  local rows = #answer
  for i = first, math.min(first + 2 * AT_ONCE - 1, #found), 2 do
    local n = #jids + 1
    jids[n], agents[n] = found[i], string.match(found[i], '^[^/]*')
    for _, word in ipairs({found[i], found[i + 1], '', '', '', '', '', ''}) do
      answer[#answer + 1] = word
    end
  end
  for at, key in pairs(SCORES) do
    append(rows, at, jids, redis.call('ZMSCORE', key, unpack(at == 3 and jids or agents)))
  end
  append(rows, 4, jids, redis.call('HMGET', PARKING, unpack(jids)))
  append(rows, 6, jids, redis.call('HMGET', TRIALS, unpack(agents)))
  for i, line in ipairs(redis.call('HMGET', ACCOUNTS, unpack(agents))) do
    if line and not may_have_jobs(agents[i]) then
      answer[rows + 8 * (i - 1) + 8] = '1'
    end
  end
end
return {now, redis.call('ZCARD', HOSTS), answer}

-- Which of the parked agents jobs with a rank prefer (decision 23). The loader puts it in front of `dispatch`.
--
-- `ranks:<class>:<page>` has the rank of hosts of a class by the numbers of groups, as managers have told it with the matches.

-- The rank of a host for the jobs of a group; false if they do not match, nothing if that, or the rank, is not known.
local function score_of(host, number)
  local verdict = host.class ~= '' and verdict_of(host, number)
  if verdict == YES then
    return tonumber(redis.call('HGET', scores_of(host.class, number), number) or '')
  elseif verdict == NO then
    return false
  end
  return nil
end

-- Agents in the order in which the jobs of a group prefer them, those that have waited for longest first where it is the same to them:
-- `order`, their names; `scores` by name; `unknown`, those of which nothing is known. `known(jid)` returns the host of one that is parked.
local function rank_agents(jids, known, number)
  local ranking, of_class, places = {order = {}, scores = {}, unknown = {}, at = 1}, {}, {}
  for i, jid in ipairs(jids) do
    local host = known(jid)
    local score
    if host and host.class ~= '' then
      if of_class[host.class] == nil then
        local found = score_of(host, number)
        of_class[host.class] = {found}
        if found == nil then
          ranking.unknown[#ranking.unknown + 1] = jid
        end
      end
      score = of_class[host.class][1]
    end
    if host and host.stale then
      ranking.unknown[#ranking.unknown + 1] = jid
    elseif score then
      places[jid], ranking.scores[jid] = i, score
      ranking.order[#ranking.order + 1] = jid
    end
  end
  table.sort(ranking.order, function(one, other)
    local a, b = ranking.scores[one], ranking.scores[other]
    return a > b or a == b and places[one] < places[other]
  end)
  return ranking
end

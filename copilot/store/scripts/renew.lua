-- An agent lives and says what it holds: its leases begin anew.
--
-- Touches: job:<id>, array:<id>, queue:<group>, heads, plain-heads, seen, group:<group>, attributes, started, turns,
-- in-use, running, delayed, owners, owners-running, events, accounts, alive.
-- Atomic because: the reaper or another agent may take the job between the look at the attempt and its new deadline.
-- ARGV[2…]: agent, then three values an attempt: job, attempt, phase.
-- Returns the numbers (from 1) of those that the agent does not hold, or no longer; then those of the revived ones.
--
-- An attempt that went back to waiting and that nobody else has claimed is revived: its agent is not dead after all,
-- and two agents at one job would waste one of them. It counts again if it had been handed back.

even_if_full()
local agent = ARGV[2]
local lost, revived, welcome = {}, {}, may_have_jobs(agent)
if welcome then
  note_time(ALIVE, agent)
end
for i = 3, #ARGV, 3 do
  local id, attempt, phase = unpack(ARGV, i, i + 2)
  local number = (i - 3) / 3 + 1
  local state, current, owner, settled, handed_back, confirmed, lease = unpack(redis.call('HMGET', JOB .. id,
    'state', 'attempt', 'agent', 'settled', 'handed_back', 'confirmed', 'lease'))
  local alive = welcome and current == attempt and owner == agent and settled ~= attempt and lease
  if not alive or (state ~= 'running' and state ~= 'waiting') then
    lost[#lost + 1] = number
  else
    if state == 'waiting' then
      leave_queue(id)
      redis.call('HDEL', JOB .. id, 'outcome', 'handed_back')
      if handed_back == attempt then
        redis.call('HINCRBY', JOB .. id, 'attempts_used', 1)
      end
      enter_state(id, 'running', 'confirmed', now)
      event(id, 'revived', attempt, agent, '', '')
      revived[#revived + 1] = number
    elseif not confirmed then
      redis.call('HSET', JOB .. id, 'confirmed', now)
      event(id, 'running', attempt, agent, '', '')
    end
    redis.call('HSET', JOB .. id, 'phase', phase)
    redis.call('ZADD', RUNNING, after(tonumber(lease)), id)
  end
end
return {lost, revived}

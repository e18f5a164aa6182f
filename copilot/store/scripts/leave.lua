-- An agent says goodbye: what it gives back waits again at its old place, and nobody has to tell it to leave any more.
--
-- Touches: job:<id>, array:<id>, parts:<id>, in-ranges, queue:<group>, heads, plain-heads, seen, group:<group>, groups,
-- attributes, attempts:<id>, started, turns, in-use, running, done, failed, cancelled, cancelling, on-hold, blocked,
-- awaits:<id>, awaited:<done or over>:<id>, letting-in, draining, delayed, unpublished, parked, owners, owners-running,
-- events, usage:<by>:<day>.
-- Atomic because: a job that was settled or claimed anew meanwhile must not get into the queue.
-- ARGV[2…]: agent, cause, text, then two values an attempt: job, attempt.
-- Returns the events that were written, as flat lists: one for each that went back.
--
-- `settled` makes it final: an older renewal that another instance reads later must not revive an attempt that nobody
-- works on any more.

even_if_full()
local agent, cause, text = unpack(ARGV, 2, 4)
local back = {}
redis.call('ZREM', DRAINING, agent)
for i = 5, #ARGV, 2 do
  local id, attempt = unpack(ARGV, i, i + 1)
  local state, current, owner = unpack(redis.call('HMGET', JOB .. id, 'state', 'attempt', 'agent'))
  if state == 'running' and current == attempt and owner == agent then
    redis.call('HSET', JOB .. id, 'settled', attempt)
    back[#back + 1] = hand_back(id, attempt, agent, cause, text)
  end
end
return back

-- Somebody wants to see an output of a job while it runs.
--
-- Touches: job:<id>, watched, watch:<stream>:<id>, output:<stream>:<id>, parked.
-- Atomic because: the wish must not run out between the look at it and its new time, and what is shown is of one moment.
-- ARGV[2…]: job, stream; attempt and offset from which on to read; seconds to keep the wish, most wishes, bytes before the end to
-- begin at, most chunks.
-- Returns the state of the job ('' if unknown), its attempt, that of which an agent has spoken, the size of the output then, a note;
-- then chunks: their ids '<attempt>-<offset>' and their fields. The first value is 'full' if there are too many wishes.
--
-- The wish is a hash: `attempt` and `offset` say what is to be asked for next; `heard`, `size` and `note` are what was heard last.

local id, stream, attempt, offset, kept, most, backlog, chunks = unpack(ARGV, 2)
local name = stream .. ':' .. id
local state, current = unpack(redis.call('HMGET', JOB .. id, 'state', 'attempt'))
if not state then
  return {'', '0', '0', '0', '', {}}
end
local over = state == 'done' or state == 'failed' or state == 'cancelled'
if not over then
  if redis.call('EXISTS', WATCH .. name) == 0 then
    if redis.call('ZCARD', WATCHED) >= tonumber(most) then
      return {'full'}
    end
    redis.call('DEL', OUTPUT .. name)
    redis.call('HSET', WATCH .. name, 'attempt', current, 'offset', -tonumber(backlog))
  end
  redis.call('EXPIRE', WATCH .. name, kept)
  if not redis.call('ZSCORE', WATCHED, name) then
    redis.call('ZADD', WATCHED, now, name)
    hint_orders()
  end
end
local heard, size, note = unpack(redis.call('HMGET', WATCH .. name, 'heard', 'size', 'note'))
local from = attempt == '0' and '-' or attempt .. '-' .. offset
return {state, current, heard or '0', size or '0', note or '', redis.call('XRANGE', OUTPUT .. name, from, '+', 'COUNT', chunks)}

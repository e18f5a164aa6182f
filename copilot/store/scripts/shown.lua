-- An agent has shown part of an output.
--
-- Touches: watched, watch:<stream>:<id>, output:<stream>:<id>.
-- Atomic because: the same answer may come twice, and each byte is shown once.
-- ARGV[2…]: job, stream, attempt, offset, how many bytes, these in base64, size of the output, note, seconds to keep them, most chunks.
-- Returns 1 if there is more to be asked for at once, else 0.

local id, stream, attempt, offset, bytes, data, size, note, kept, chunks = unpack(ARGV, 2)
local name = stream .. ':' .. id
local known, expected = unpack(redis.call('HMGET', WATCH .. name, 'attempt', 'offset'))
if known ~= attempt or tonumber(offset) < tonumber(expected) then
  return 0
end
redis.call('HSET', WATCH .. name, 'heard', attempt, 'size', size, 'note', note)
local from, number = tonumber(offset), tonumber(bytes)
if note ~= '' then
  return 0
end
redis.call('HSET', WATCH .. name, 'offset', string.format('%.0f', from + number))
if number == 0 then
  return 0
end
redis.call('XADD', OUTPUT .. name, 'MAXLEN', chunks, string.format('%s-%.0f', attempt, from), 'data', data)
redis.call('EXPIRE', OUTPUT .. name, kept)
if tonumber(size) <= from + number then
  return 0
end
redis.call('ZADD', WATCHED, 'XX', now, name)
return 1

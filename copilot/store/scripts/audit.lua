-- Runs a script that somebody wants to be run, and writes who, what and what came of it on the audit trail. The loader puts it behind
-- the script, which it makes the function `step`.
--
-- Touches: audit.
-- Atomic because: no change may be without its entry, and no entry without its change.
-- The last two of ARGV, which `step` does not see: the key of the trail, and the entry as JSON. The key is not among KEYS, so that a
-- right of its own can keep programs from everything but XADD there (docs/audit.md). Never trims.

local said = cjson.decode(table.remove(ARGV))
local AUDIT = table.remove(ARGV)
local answer = step()
-- What a script answers if it has done as it was told, or found nothing to do: a number or a first number, `''` and `'1'`, or a word
-- for itself. All other words are refusals, of which the caller makes an error.
local DONE_WORDS = {['1'] = true, submitted = true}
local first, second = answer, nil
if type(answer) == 'table' then
  first, second = answer[1], answer[2]
end
local result
if type(first) == 'number' then
  result = first > 0 and 'changed' or 'unchanged'
elseif DONE_WORDS[first] then
  result = 'changed'
elseif not first or first == '' then
  result = 'unchanged'
end
if result and not (said.whole == '1' and result == 'unchanged') then
  if type(second) == 'string' and second ~= '' then
    result = result .. ' ' .. second
  end
  redis.call('XADD', AUDIT, '*', 'time', now, 'who', said.who, 'standing', said.standing, 'via', said.via, 'place', said.place,
    'verb', said.verb, 'target', said.target, 'reason', said.reason, 'result', result)
end
return answer

-- Take entries of the audit trail away that somebody has exported.
--
-- Touches: audit.
-- Atomic because: the entry that says so is written in the same step (audit.lua).
-- ARGV[2…]: the key of the trail, the id of the first entry that stays, or one before it. Returns how many have gone.

local AUDIT, first = unpack(ARGV, 2)
return redis.call('XTRIM', AUDIT, 'MINID', first)

-- Read how long an agent is still in quarantine.
--
-- Touches (reads): trials, set-aside.
-- Atomic because: the end is compared with the clock that has set it.
-- ARGV[2]: agent. Returns seconds, 0 if it is not. One that was set aside by hand is to ask again soon.

local ASKS_AGAIN = 60
local aside = set_aside_for(ARGV[2])
aside = aside == -1 and ASKS_AGAIN or math.min(ASKS_AGAIN, aside)
return exact(math.max(aside, tonumber(read_trial(ARGV[2]).ends) - tonumber(now)))

-- Managers are to tell agents something at once. The loader puts it in front of the scripts that use it.

local orders_hinted = false

-- They hear it on the channel that is called like the key of parked agents. Who does not, looks by itself some seconds later.
local function hint_orders()
  if not orders_hinted then
    redis.pcall('PUBLISH', PARKED, 'orders') -- an account without rights on channels goes without hints
    orders_hinted = true
  end
end

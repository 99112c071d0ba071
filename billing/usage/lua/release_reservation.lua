-- Follow-up of an acknowledged billing entry: its cost is no longer reserved.
-- ARGS: user, usage type, cost
-- Stops at 0, since a Redis that lost its data has lost the reservation too.
local reserved = 'reserved:' .. args[1]
local left = (tonumber(redis.call('HGET', reserved, args[2])) or 0) - tonumber(args[3])
if left > 0 then
  redis.call('HSET', reserved, args[2], string.format('%.0f', left))
else
  redis.call('HDEL', reserved, args[2])
end

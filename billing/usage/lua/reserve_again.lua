-- Undoes release_reservation.lua when a dead letter is replayed: its cost is reserved once more. It is added
-- to the requested total as well, so that limits computed from an earlier balance include it.
-- ARGS: user, usage type, cost
if tonumber(args[3]) > 0 then
  redis.call('HINCRBY', 'reserved:' .. args[1], args[2], args[3])
  local requested = 'requested:' .. args[1]
  if redis.call('HEXISTS', requested, args[2]) == 1 then
    redis.call('HINCRBY', requested, args[2], args[3])
  end
end

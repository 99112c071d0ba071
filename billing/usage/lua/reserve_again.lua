-- Undoes release_reservation.lua when a dead letter is replayed: its cost is reserved once more. It is added
-- to the requested total as well, so that limits computed from an earlier balance include it.
-- ARGS: id, user, usage type, cost   `replayed`: id of the entry in `billing`
if tonumber(args[4]) > 0 and redis.call('HEXISTS', 'reservations', args[1]) == 0 then
  local value = table.concat({args[2], args[3], args[4], replayed}, ' ')
  redis.call('HSET', 'reservations', args[1], string.format('%-65s', value))
  redis.call('HINCRBY', 'reserved:' .. args[2], args[3], args[4])
  local requested = 'requested:' .. args[2]
  if redis.call('HEXISTS', requested, args[3]) == 1 then
    redis.call('HINCRBY', requested, args[3], args[4])
  end
end

-- Follow-up of an acknowledged billing entry: its cost is no longer reserved. The reservation is found by the
-- id of the job, so that it ends once, whatever became of the entry.
-- ARGS: id (and those of reserve_again.lua)
local user, usage_type, amount =
  string.match(redis.call('HGET', 'reservations', args[1]) or '', '^(%S+) (%S+) (%d+) ')
if redis.call('HDEL', 'reservations', args[1]) == 1 and user then
  local reserved = 'reserved:' .. user
  if redis.call('HINCRBY', reserved, usage_type, -tonumber(amount)) <= 0 then
    redis.call('HDEL', reserved, usage_type)
  end
end

-- Follow-up of an acknowledged billing entry: what was charged is no longer due. args: user, usage type, cost;
-- none for an entry that could not be read. Never below 0: the counter may have been lost with an emptied Redis.
if #args == 3 then
  local due = 'due:' .. args[1]
  local left = (tonumber(redis.call('HGET', due, args[2])) or 0) - tonumber(args[3])
  if left > 0 then
    redis.call('HSET', due, args[2], string.format('%.0f', left))
  else
    redis.call('HDEL', due, args[2])
  end
end

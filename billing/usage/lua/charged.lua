-- Follow-up of a billing entry that is let go: what was charged is no longer due. args: user, usage type, cost.
-- Never below 0: an emptied Redis has forgotten what was due.
local due = 'reserved:' .. args[1]
local left = (tonumber(redis.call('HGET', due, args[2])) or 0) - tonumber(args[3])
if left > 0 then
  redis.call('HSET', due, args[2], string.format('%.0f', left))
else
  redis.call('HDEL', due, args[2])
end

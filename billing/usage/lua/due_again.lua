-- Takes charged.lua back: what is to be charged once more is due again, and was not counted as asked for by
-- whoever read a balance meanwhile. args: user, usage type, cost.
if tonumber(args[3]) > 0 then
  redis.call('HINCRBY', 'reserved:' .. args[1], args[2], args[3])
  local asked = 'requested:' .. args[1]
  if redis.call('HEXISTS', asked, args[2]) == 1 then redis.call('HINCRBY', asked, args[2], args[3]) end
end

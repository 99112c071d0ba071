-- Takes charged.lua back: what is to be charged once more is due again. args: user, usage type, cost.
if tonumber(args[3]) > 0 then redis.call('HINCRBY', 'due:' .. args[1], args[2], args[3]) end

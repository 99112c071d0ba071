-- Keep a job that is still ours. 0: it is not.
-- ARGV: id, worker, lease in ms
if redis.call('HGET', 'job:' .. ARGV[1], 'worker') ~= ARGV[2] then return 0 end
if redis.call('ZREM', 'leases', ARGV[1]) == 0 then return 0 end -- a full Redis refuses to add, not to add again
redis.call('ZADD', 'leases', now_ms() + tonumber(ARGV[3]), ARGV[1])
return 1

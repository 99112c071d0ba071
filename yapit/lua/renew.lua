-- Keep a job that is still ours. 0: it is not.
-- ARGV: id, worker, lease in ms
if redis.call('HGET', 'job:' .. ARGV[1], 'worker') ~= ARGV[2] then return 0 end
if not redis.call('ZSCORE', 'leases', ARGV[1]) then return 0 end
redis.call('ZADD', 'leases', now_ms() + tonumber(ARGV[3]), ARGV[1])
return 1

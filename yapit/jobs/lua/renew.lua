-- Renew the lease of a job. Returns 0 when this worker no longer holds it.
-- ARGV: id, worker, lease in ms
if redis.call('HGET', 'job:' .. ARGV[1], 'worker') ~= ARGV[2] then return 0 end
-- Removed first: a full Redis refuses ZADD, except after a write in the same script.
if redis.call('ZREM', 'leases', ARGV[1]) == 0 then return 0 end
redis.call('ZADD', 'leases', now_ms() + tonumber(ARGV[3]), ARGV[1])
return 1

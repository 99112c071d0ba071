-- Acquire or renew a connection slot. A slot that is not renewed expires, so that a killed process
-- holds none. Returns 1, or 0 when all are taken.
-- KEYS: slots   ARGV: connection, number of slots, seconds
local at = now_ms()
redis.call('ZREMRANGEBYSCORE', KEYS[1], '-inf', at)
local is_new = not redis.call('ZSCORE', KEYS[1], ARGV[1])
if is_new and redis.call('ZCARD', KEYS[1]) >= tonumber(ARGV[2]) then return 0 end
redis.call('ZADD', KEYS[1], at + tonumber(ARGV[3]) * 1000, ARGV[1])
redis.call('EXPIRE', KEYS[1], ARGV[3])
return 1

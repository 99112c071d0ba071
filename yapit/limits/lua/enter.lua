-- A place for a connection, or one kept. A place that nobody keeps is free again after its time, so that a
-- killed process takes none with it. Returns 1, or 0 when all are taken.
-- KEYS: places   ARGV: connection, how many, seconds
local at = now_ms()
redis.call('ZREMRANGEBYSCORE', KEYS[1], '-inf', at)
if not redis.call('ZSCORE', KEYS[1], ARGV[1]) and redis.call('ZCARD', KEYS[1]) >= tonumber(ARGV[2]) then return 0 end
redis.call('ZADD', KEYS[1], at + tonumber(ARGV[3]) * 1000, ARGV[1])
redis.call('EXPIRE', KEYS[1], ARGV[3])
return 1

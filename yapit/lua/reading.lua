-- What is to be subtracted from a balance that is read right after this: what is due, and how much had been asked
-- for. A count that begins does so with the time in microseconds, so that none ever comes twice: one who
-- remembers an older one finds far too much asked for since, and reads again.
-- ARGV: user, usage type, seconds that the count is kept without being read
local asked = 'asked:' .. ARGV[1]
if redis.call('HEXISTS', asked, ARGV[2]) == 0 then
  redis.call('HSET', asked, ARGV[2], string.format('%.0f', now_ms() * 1000))
end
redis.call('EXPIRE', asked, ARGV[3])
return {tonumber(redis.call('HGET', 'due:' .. ARGV[1], ARGV[2]) or 0), tonumber(redis.call('HGET', asked, ARGV[2]))}

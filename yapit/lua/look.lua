-- What became of a hash: exactly one of cached, waiting, skipped, error, none. Repeatable.
-- ARGV: hash, seconds that announced audio stays readable
local key = 'audio:' .. ARGV[1]
if redis.call('EXISTS', key) == 1 then
  if redis.call('TTL', key) >= 0 then redis.call('EXPIRE', key, ARGV[2]) end
  return {'cached', header_of(key)}
end
local id = redis.call('GET', 'inflight:' .. ARGV[1])
if id and redis.call('EXISTS', 'job:' .. id) == 1 then return {'waiting', ''} end
local outcome = redis.call('GET', 'outcome:' .. ARGV[1])
if outcome then return {string.sub(outcome, 1, 1) == 's' and 'skipped' or 'error', string.sub(outcome, 2)} end
return {'none', ''}

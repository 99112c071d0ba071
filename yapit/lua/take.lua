-- Take tokens from a bucket. Returns 0, or the milliseconds to wait when they are not there; then none are taken.
-- KEYS: bucket   ARGV: capacity, tokens per second, how many
local capacity, per_second = tonumber(ARGV[1]), tonumber(ARGV[2])
local wait, tokens, at = bucket_of(KEYS[1], capacity, per_second, tonumber(ARGV[3]))
if wait == 0 then keep_bucket(KEYS[1], capacity, per_second, tokens, at) end
return wait

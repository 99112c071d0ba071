-- Take tokens from a bucket. Returns 0, or the milliseconds to wait when they are not there; then none are taken.
-- KEYS: bucket   ARGV: capacity, tokens per second, how many
return take(KEYS[1], tonumber(ARGV[1]), tonumber(ARGV[2]), tonumber(ARGV[3]))

-- Take tokens from a bucket. Returns 0, or the milliseconds to wait if there are too few.
-- KEYS: bucket   ARGV: capacity, tokens per second, number of tokens
return take(KEYS[1], tonumber(ARGV[1]), tonumber(ARGV[2]), tonumber(ARGV[3]))

-- States of keys: for each one of c (cached, with its header), w (waiting), s (skipped), e (error, with its
-- code), n (none). In front the milliseconds to wait when the token of the message was not there; then
-- nothing follows. Repeatable.
-- KEYS: [bucket of messages]
-- ARGV: capacity, tokens per second, seconds that announced audio stays, keys
if KEYS[1] then
  local wait = take(KEYS[1], tonumber(ARGV[1]), tonumber(ARGV[2]), 1)
  if wait > 0 then return {wait} end
end
local seconds = tonumber(ARGV[3])

local function state_of(key)
  local cached = announce(key, seconds)
  if cached then return cached end
  local id = redis.call('GET', 'inflight:' .. key)
  if id and redis.call('EXISTS', 'job:' .. id) == 1 then return 'w' end
  return redis.call('GET', 'outcome:' .. key) or 'n'
end

local states = {0}
for i = 4, #ARGV do states[i - 2] = state_of(ARGV[i]) end
return states

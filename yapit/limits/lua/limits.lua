-- What one account may do at once, shared by all web processes. Every key has an expiry.

-- Milliseconds until `n` tokens are there; 0: they are. The bucket as it would be is returned, not written.
local function bucket_of(key, capacity, per_second, n)
  local at = now_ms()
  local kept = redis.call('HMGET', key, 'tokens', 'at')
  local tokens = capacity
  if kept[1] then tokens = math.min(capacity, tonumber(kept[1]) + (at - tonumber(kept[2])) * per_second / 1000) end
  if tokens < n then return math.ceil((n - tokens) / per_second * 1000), tokens, at end
  return 0, tokens - n, at
end

local function keep_bucket(key, capacity, per_second, tokens, at)
  redis.call('HSET', key, 'tokens', string.format('%.3f', tokens), 'at', string.format('%.0f', at))
  redis.call('PEXPIRE', key, math.ceil(capacity / per_second * 1000) + 1000)
end

-- Milliseconds until one more member has a place in `key`; 0: it has one. Kept by `keep_place`, not here.
local function place_in(key, member, places, lasting)
  local at = now_ms()
  redis.call('ZREMRANGEBYSCORE', key, '-inf', at - lasting)
  if redis.call('ZSCORE', key, member) or redis.call('ZCARD', key) < places then return 0 end
  return tonumber(redis.call('ZRANGE', key, 0, 0, 'WITHSCORES')[2]) + lasting - at
end

local function keep_place(key, member, lasting)
  redis.call('ZADD', key, string.format('%.0f', now_ms()), member)
  redis.call('PEXPIRE', key, lasting)
end

local function take(key, capacity, per_second, n)
  local wait, tokens, at = bucket_of(key, capacity, per_second, n)
  if wait == 0 then keep_bucket(key, capacity, per_second, tokens, at) end
  return wait
end

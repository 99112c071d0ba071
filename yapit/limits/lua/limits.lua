-- Token buckets and slots. Every key expires.

-- Milliseconds until `n` tokens are there (0: now), the tokens left then, and the time. Writes nothing.
local function read_bucket(key, capacity, per_second, n)
  local at = now_ms()
  local stored = redis.call('HMGET', key, 'tokens', 'at')
  local tokens = capacity
  if stored[1] then
    tokens = math.min(capacity, tonumber(stored[1]) + (at - tonumber(stored[2])) * per_second / 1000)
  end
  if tokens < n then return math.ceil((n - tokens) / per_second * 1000), tokens, at end
  return 0, tokens - n, at
end

local function write_bucket(key, capacity, per_second, tokens, at)
  redis.call('HSET', key, 'tokens', string.format('%.3f', tokens), 'at', string.format('%.0f', at))
  redis.call('PEXPIRE', key, math.ceil(capacity / per_second * 1000) + 1000)
end

-- Milliseconds until `key` has a slot for the member; 0: now. `write_slot` occupies it.
local function wait_for_slot(key, member, slots, lasting_ms)
  local at = now_ms()
  redis.call('ZREMRANGEBYSCORE', key, '-inf', at - lasting_ms)
  if redis.call('ZSCORE', key, member) or redis.call('ZCARD', key) < slots then return 0 end
  return tonumber(redis.call('ZRANGE', key, 0, 0, 'WITHSCORES')[2]) + lasting_ms - at
end

local function write_slot(key, member, lasting_ms)
  redis.call('ZADD', key, string.format('%.0f', now_ms()), member)
  redis.call('PEXPIRE', key, lasting_ms)
end

local function take(key, capacity, per_second, n)
  local wait, tokens, at = read_bucket(key, capacity, per_second, n)
  if wait == 0 then write_bucket(key, capacity, per_second, tokens, at) end
  return wait
end

-- Ask for audio: answered from what is there, joined to work under way, queued, or refused. Repeatable:
-- asking again joins.
-- ARGV: hash, id, owner's user, member ('' when nobody waits), balance ('' = unlimited), priority,
--       hot seconds, unpersisted limit, waiting limit, blocks per minute ('' = any number), then name/value
--       pairs of the job
local hash, id, user, member, balance, priority = unpack(ARGV, 1, 6)
local hot_seconds, unpersisted_limit, waiting_limit, per_minute = unpack(ARGV, 7, 10)
local job = {}
for i = 11, #ARGV, 2 do job[ARGV[i]] = ARGV[i + 1] end

local audio = 'audio:' .. hash
if redis.call('EXISTS', audio) == 1 then
  if redis.call('TTL', audio) >= 0 then redis.call('EXPIRE', audio, hot_seconds) end
  return {'cached', header_of(audio)}
end
if redis.call('GET', 'outcome:' .. hash) == 's' then return {'skipped', ''} end

local due = tonumber(redis.call('HGET', 'due:' .. user, job.usage_type) or 0)
if job.billable == '1' and balance ~= '' and tonumber(balance) - due < tonumber(job.cost) then
  return {'refused', 'usage_limit', math.max(0, tonumber(balance) - due)}
end

-- Asking again for what one waits for already is free.
local bucket, tokens, at = 'limit:blocks:' .. user, nil, nil
if per_minute ~= '' and redis.call('SISMEMBER', 'subs:' .. hash, member) == 0 then
  local wait
  wait, tokens, at = bucket_of(bucket, tonumber(per_minute), tonumber(per_minute) / 60, 1)
  if wait > 0 then return {'refused', 'rate_limited', wait} end
end
local function count_block()
  if tokens then keep_bucket(bucket, tonumber(per_minute), tonumber(per_minute) / 60, tokens, at) end
end

local rank_base = tonumber(priority) * 1e14
local running = redis.call('GET', 'inflight:' .. hash)
if running then
  local other = load(running, 'model', 'owner', 'rank')
  if other then
    if member ~= '' then redis.call('SADD', 'subs:' .. hash, member) end
    count_block()
    local waiting = redis.call('ZSCORE', 'queue:' .. other.model .. ':' .. other.owner, running)
    if waiting and tonumber(waiting) >= rank_base + 1e14 then -- somebody needs it sooner than it was asked for
      local sooner = string.format('%.0f', rank_base + tonumber(waiting) % 1e14)
      redis.call('HSET', 'job:' .. running, 'rank', sooner)
      if other.owner == WARM then
        unqueue(running, other.model, WARM)
        redis.call('HSET', 'job:' .. running, 'owner', user)
        push(running, other.model, user, sooner)
      else
        redis.call('ZADD', 'queue:' .. other.model .. ':' .. other.owner, sooner, running)
      end
    end
    return {'joined', ''}
  end
end

local owner = tonumber(priority) >= 2 and WARM or user
if tonumber(redis.call('GET', 'unpersisted') or 0) > tonumber(unpersisted_limit) then return {'refused', 'busy', 0} end
-- The audio file is far over its limit, and nothing in it may leave.
if redis.call('EXISTS', 'storage-full') == 1 then return {'refused', 'busy', 0} end
if redis.call('ZCARD', 'queue:' .. job.model .. ':' .. owner) >= tonumber(waiting_limit) then
  return {'refused', 'busy', 0}
end

-- The first write is one that a full Redis refuses, so that a refusal leaves nothing behind.
local rank = string.format('%.0f', rank_base + redis.call('INCR', 'job-number'))
redis.call('HSET', 'job:' .. id, 'hash', hash, 'user', user, 'owner', owner, 'rank', rank, 'attempts', 0,
  'created', now_ms(), unpack(ARGV, 11))
if member ~= '' then redis.call('SADD', 'subs:' .. hash, member) end
count_block()
redis.call('SET', 'inflight:' .. hash, id)
redis.call('DEL', 'outcome:' .. hash)
if job.billable == '1' then owe(user, job.usage_type, tonumber(job.cost)) end
push(id, job.model, owner, rank)
return {'queued', ''}

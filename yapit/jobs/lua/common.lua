-- Functions that the scripts of jobs share.
-- Principle: job:{id} exists exactly while the job is unfinished. The script that deletes it also does
-- everything that follows from its end.

local WARM = '~warm'         -- the owner of jobs that no user waits for
local LAST = 9e15            -- the virtual time of WARM: after every user

-- `reserved` holds what is queued or not charged yet; charging lowers it. `requested` is a total that
-- charging does not lower: limits computed from an earlier balance are compared with it.
local function reserve(user, usage_type, characters)
  if characters == 0 then return end
  local reserved, requested = 'reserved:' .. user, 'requested:' .. user
  if redis.call('HINCRBY', reserved, usage_type, characters) <= 0 then
    redis.call('HDEL', reserved, usage_type)
  end
  if redis.call('HEXISTS', requested, usage_type) == 1 then
    redis.call('HINCRBY', requested, usage_type, characters)
  end
end

-- Queue a job. Fair between users: a user who returns starts at the current virtual time of the model, or
-- where the user's own last job ended.
local function push(id, model, owner, rank)
  local users = 'queue:' .. model
  redis.call('ZADD', users .. ':' .. owner, rank, id)
  if not redis.call('ZSCORE', users, owner) then
    local start = LAST
    if owner ~= WARM then
      local served = tonumber(redis.call('GET', 'served:' .. model .. ':' .. owner) or 0)
      start = math.max(tonumber(redis.call('GET', 'vtime:' .. model) or 0), served)
    end
    redis.call('ZADD', users, start, owner)
  end
  if redis.call('LLEN', 'wake:' .. model) < 64 then redis.call('LPUSH', 'wake:' .. model, '1') end
end

-- Returns whether the job was queued.
local function unqueue(id, model, owner)
  local users = 'queue:' .. model
  local was_queued = redis.call('ZREM', users .. ':' .. owner, id) == 1
  if was_queued and redis.call('ZCARD', users .. ':' .. owner) == 0 then redis.call('ZREM', users, owner) end
  return was_queued
end

-- One message to each web process that has subscribers. Messages may be lost: connections resync.
local function publish_completion(hash, status, detail)
  local notified = {}
  for _, member in ipairs(redis.call('SMEMBERS', 'subs:' .. hash)) do
    local process = string.match(member, '.*:([^.]*)') -- after the last colon: process.connection
    if process and not notified[process] then
      notified[process] = true
      redis.call('PUBLISH', 'notify:' .. process, hash .. status .. detail)
    end
  end
end

-- Delete a job and all keys that belong to it.
local function delete_job(id, hash)
  local keys = {'job:' .. id, 'res:' .. id, 'subs:' .. hash}
  if redis.call('GET', 'inflight:' .. hash) == id then keys[4] = 'inflight:' .. hash end
  redis.call('DEL', unpack(keys)) -- one command: each is written to the append-only file
  redis.call('ZREM', 'leases', id)
end

-- End a job without audio: its cost is no longer reserved.
local function end_without_audio(id, job, status, detail)
  if job.billable == '1' then reserve(job.user, job.usage_type, -tonumber(job.cost)) end
  publish_completion(job.hash, status, detail)
  delete_job(id, job.hash)
end

-- The hash and these fields of a job, or nil. Fields that the job lacks are nil.
local function read_job(id, ...)
  local names = {...}
  local values = redis.pcall('HMGET', 'job:' .. id, 'hash', unpack(names))
  if values.err or not values[1] then return nil end
  local job = {hash = values[1]}
  for i, name in ipairs(names) do job[name] = values[i + 1] or nil end
  return job
end

-- The header of a blob as audiocache.blob writes it: its length in four bytes, big-endian, then itself.
-- Empty: there is no audio.
local function read_header(key)
  local head = redis.call('GETRANGE', key, 0, 511)
  if #head < 4 then return '' end
  local size = 4 + struct.unpack('>I4', head)
  if size <= #head then return string.sub(head, 1, size) end
  return redis.call('GETRANGE', key, 0, size - 1)
end

-- 'c' and the header of audio that is announced, or nil. Audio stays for at least `seconds` from now; its
-- expiry is not written again for each of many requests.
local function announce(hash, seconds)
  local key = 'audio:' .. hash
  local header = read_header(key)
  if header == '' then return nil end
  local left = redis.call('TTL', key)
  if left >= 0 and left < seconds then redis.call('EXPIRE', key, seconds + 10) end
  return 'c' .. header
end

-- The first of these fields that a job lacks, or nil. A malformed job, which no script of this version wrote,
-- must not stop its callers again and again.
local function missing_field(job, names)
  for _, name in ipairs(names) do
    if not job[name] then return name end
  end
end

local RETRY_FIELDS = {'attempts', 'model', 'voice', 'owner', 'rank', 'user', 'usage_type', 'cost', 'billable'}

-- Another attempt for a job whose worker failed, or its end: after the last attempt, or when it has no
-- subscribers left. `job` is read with RETRY_FIELDS.
local function retry_or_dead_letter(id, job, max_attempts, reason)
  redis.call('ZREM', 'leases', id)
  if missing_field(job, RETRY_FIELDS) then
    publish_completion(job.hash, 'e', reason)
    delete_job(id, job.hash)
    return 'MALFORMED'
  end
  -- Unbilled jobs and warming need no subscribers.
  if job.billable == '1' and job.owner ~= WARM and redis.call('EXISTS', 'subs:' .. job.hash) == 0 then
    end_without_audio(id, job, 'e', reason)
    return 'DROPPED'
  end
  redis.call('HDEL', 'job:' .. id, 'worker')
  if tonumber(job.attempts) < max_attempts then
    push(id, job.model, job.owner, job.rank)
    return 'REQUEUED'
  end
  redis.call('XADD', 'dead:jobs', 'MAXLEN', '~', 10000, '*', 'id', id, 'hash', job.hash, 'model', job.model,
    'voice', job.voice, 'attempts', job.attempts, 'reason', reason,
    'sealed:job', cmsgpack.pack(redis.call('HGETALL', 'job:' .. id)))
  redis.call('SET', 'outcome:' .. job.hash, 'e' .. reason, 'EX', 60)
  end_without_audio(id, job, 'e', reason)
  return 'DEAD'
end

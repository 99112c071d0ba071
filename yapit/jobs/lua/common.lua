-- Shared by the scripts of the finalize protocol; put in front of each.
-- Principle: job:{id} exists exactly while the job is unfinished. The script that deletes it also does
-- everything that follows from it.

local WARM = '~warm'         -- the queue of work that nobody waits for
local LAST = 9e15            -- its virtual time: behind every listener

local function is_last_holder(hash, id)
  return redis.call('GET', 'inflight:' .. hash) == id
end

-- `due` is what is queued or not charged yet; billing takes from it what it charged. `asked` is never taken
-- from when something is charged: a balance that was read is compared with how much was asked for since.
local function owe(user, usage_type, characters)
  if characters == 0 then return end
  local due, asked = 'reserved:' .. user, 'requested:' .. user
  if redis.call('HINCRBY', due, usage_type, characters) <= 0 then redis.call('HDEL', due, usage_type) end
  if redis.call('HEXISTS', asked, usage_type) == 1 then redis.call('HINCRBY', asked, usage_type, characters) end
end

-- Fair between users: who comes back starts where the service stands now, or where their own last job ended.
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

-- Returns whether the job was waiting there.
local function unqueue(id, model, owner)
  local users = 'queue:' .. model
  local was_queued = redis.call('ZREM', users .. ':' .. owner, id) == 1
  if was_queued and redis.call('ZCARD', users .. ':' .. owner) == 0 then redis.call('ZREM', users, owner) end
  return was_queued
end

-- One PUBLISH for each web process that has somebody waiting. Bells may be lost: sockets look again.
local function ring(hash, status, detail)
  local rung = {}
  for _, member in ipairs(redis.call('SMEMBERS', 'subs:' .. hash)) do
    local process = string.match(member, '.*:([^.]*)') -- what follows the last colon: process.connection
    if process and not rung[process] then
      rung[process] = true
      redis.call('PUBLISH', 'notify:' .. process, hash .. status .. detail)
    end
  end
end

-- The end of a job: nothing of it may outlive this.
local function forget(id, hash)
  local keys = {'job:' .. id, 'res:' .. id, 'subs:' .. hash}
  if is_last_holder(hash, id) then keys[4] = 'inflight:' .. hash end
  redis.call('DEL', unpack(keys)) -- one command: each is written to the log of a server that keeps one
  redis.call('ZREM', 'leases', id)
end

-- Ends without audio: tells those who wait, and gives back what was set aside.
local function fail(id, job, status, detail)
  if job.billable == '1' then owe(job.user, job.usage_type, -tonumber(job.cost)) end
  ring(job.hash, status, detail)
  forget(id, job.hash)
end

local function load(id, ...)
  local names = {...}
  local values = redis.pcall('HMGET', 'job:' .. id, 'hash', unpack(names))
  if values.err or not values[1] then return nil end
  local job = {hash = values[1]}
  for i, name in ipairs(names) do job[name] = values[i + 1] or nil end
  return job
end

-- The header in front of audio, as audiocache.blob writes it: its length in four bytes, big-endian, and itself.
-- Empty: there is no audio.
local function header_of(key)
  local head = redis.call('GETRANGE', key, 0, 511)
  if #head < 4 then return '' end
  local size = 4 + struct.unpack('>I4', head)
  if size <= #head then return string.sub(head, 1, size) end
  return redis.call('GETRANGE', key, 0, size - 1)
end

-- Audio that is announced stays readable for so long; empty when there is none. Not written each time that
-- many ask for the same.
local function announce(hash, seconds)
  local key = 'audio:' .. hash
  local header = header_of(key)
  if header == '' then return nil end
  local left = redis.call('TTL', key)
  if left >= 0 and left < seconds then redis.call('EXPIRE', key, seconds + 10) end
  return 'c' .. header
end

-- A job that no script of ours wrote would stop whoever comes upon it, again and again.
local function lacks(job, names)
  for _, name in ipairs(names) do
    if not job[name] then return name end
  end
end

local RETRIED = {'attempts', 'model', 'voice', 'owner', 'rank', 'user', 'usage_type', 'cost', 'billable'}

-- Another attempt for a job whose worker is gone, or the end of it, also when all who waited have left. The job has what RETRIED names.
local function retry_or_bury(id, job, max_attempts, reason)
  redis.call('ZREM', 'leases', id)
  if lacks(job, RETRIED) then
    ring(job.hash, 'e', reason)
    forget(id, job.hash)
    return 'MALFORMED'
  end
  -- Unbilled work and warming have nobody who waits, and are wanted all the same.
  if job.billable == '1' and job.owner ~= WARM and redis.call('EXISTS', 'subs:' .. job.hash) == 0 then
    fail(id, job, 'e', reason)
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
  fail(id, job, 'e', reason)
  return 'DEAD'
end

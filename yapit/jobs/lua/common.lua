-- Functions that the scripts of jobs share.
-- Principle: job:{id} exists exactly while the job is unfinished. The script that deletes it also does
-- everything that follows from its end.
-- The constant parts of a job are its field `spec`, one value in msgpack, written by `yapit.jobs` and copied
-- as it is: an array of a map, the fields of the billing entry and the payload. Fields and payload are opaque
-- here; the payload is binary, which cmsgpack cannot read.

local WARM = '~warm'         -- the owner of jobs that no user waits for
local LAST = 9e15            -- the virtual time of WARM: after every user

-- `reserved` sums the reservations of an account; charging lowers it. `requested` is a total that charging
-- does not lower: limits computed from an earlier balance are compared with it.
local function add_reserved(user, usage_type, amount)
  local reserved, requested = 'reserved:' .. user, 'requested:' .. user
  if redis.call('HINCRBY', reserved, usage_type, amount) <= 0 then
    redis.call('HDEL', reserved, usage_type)
  end
  if redis.call('HEXISTS', requested, usage_type) == 1 then
    redis.call('HINCRBY', requested, usage_type, amount)
  end
end

-- Each reservation belongs to one job id: `reservations` maps it to the account, usage type and amount and,
-- once the job is finished, to its entry in `billing`. `config.redis.keys` describes the format.
local function write_reservation(id, user, usage_type, amount, entry)
  local value = string.format('%s %s %.0f %s', user, usage_type, amount, entry)
  redis.call('HSET', 'reservations', id, string.format('%-65s', value))
end

local function reserve(id, user, usage_type, amount)
  if amount == 0 then return end
  add_reserved(user, usage_type, amount)
  write_reservation(id, user, usage_type, amount, '')
end

-- Account, usage type, amount and billing entry of a reservation; nothing if there is none.
local function read_reservation(id)
  local user, usage_type, amount, entry =
    string.match(redis.call('HGET', 'reservations', id) or '', '^(%S+) (%S+) (%d+) (%S*)')
  return user, usage_type, tonumber(amount), entry
end

-- The job ends without a charge. Repeatable.
local function give_back_reservation(id)
  local user, usage_type, amount = read_reservation(id)
  if redis.call('HDEL', 'reservations', id) == 1 and user then add_reserved(user, usage_type, -amount) end
end

local function move_reservation(id, to)
  local user, usage_type, amount = read_reservation(id)
  if not user then return end
  add_reserved(user, usage_type, -amount)
  reserve(id, to, usage_type, amount)
end

-- The job is finished: what is charged by a billing entry stays reserved until then, the rest is given back.
local function settle_reservation(id, job, cost, entry)
  if cost ~= job.cost then add_reserved(job.user, job.usage_type, cost - job.cost) end
  if cost > 0 then
    write_reservation(id, job.user, job.usage_type, cost, entry)
  elseif job.cost > 0 then
    redis.call('HDEL', 'reservations', id)
  end
end

-- Queue a job. Fair between users: a user who returns starts at the current virtual time of the queue, or
-- where the user's own last job ended.
local function push(id, queue, owner, rank)
  local users = 'queue:' .. queue
  redis.call('ZADD', users .. ':' .. owner, rank, id)
  if not redis.call('ZSCORE', users, owner) then
    local start = LAST
    if owner ~= WARM then
      local served = tonumber(redis.call('GET', 'served:' .. queue .. ':' .. owner) or 0)
      start = math.max(tonumber(redis.call('GET', 'vtime:' .. queue) or 0), served)
    end
    redis.call('ZADD', users, start, owner)
  end
  if redis.call('LLEN', 'wake:' .. queue) < 64 then redis.call('LPUSH', 'wake:' .. queue, '1') end
end

-- Returns whether the job was queued.
local function unqueue(id, queue, owner)
  local users = 'queue:' .. queue
  local was_queued = redis.call('ZREM', users .. ':' .. owner, id) == 1
  if was_queued and redis.call('ZCARD', users .. ':' .. owner) == 0 then redis.call('ZREM', users, owner) end
  return was_queued
end

-- One message to each web process that has subscribers. Messages may be lost: connections resync.
local function publish_completion(key, status, detail)
  local notified = {}
  for _, member in ipairs(redis.call('SMEMBERS', 'subs:' .. key)) do
    local process = string.match(member, '.*:([^.]*)') -- after the last colon: process.connection
    if process and not notified[process] then
      notified[process] = true
      redis.call('PUBLISH', 'notify:' .. process, key .. status .. detail)
    end
  end
end

-- Delete a job and all keys that belong to it.
local function delete_job(id, key)
  local keys = {'job:' .. id, 'res:' .. id, 'subs:' .. key}
  if redis.call('GET', 'inflight:' .. key) == id then keys[4] = 'inflight:' .. key end
  redis.call('DEL', unpack(keys)) -- one command: each is written to the append-only file
  redis.call('ZREM', 'leases', id)
end

-- End a job without a result to keep: its cost is no longer reserved.
local function end_without_result(id, job, status, detail)
  give_back_reservation(id)
  publish_completion(job.key, status, detail)
  delete_job(id, job.key)
end

-- These fields of a job, and its spec as `packed`; nil if there is no such job. Fields that it lacks are nil.
local function read_fields(id, ...)
  local names = {...}
  local values = redis.pcall('HMGET', 'job:' .. id, 'spec', unpack(names))
  if values.err or not values[1] then return nil end
  local job = {packed = values[1]}
  for i, name in ipairs(names) do job[name] = values[i + 1] or nil end
  return job
end

-- The map of a packed spec, which follows the byte that begins the array, and where it ends.
local function unpack_spec(packed)
  local after, spec = cmsgpack.unpack_one(packed, 1)
  return spec, after
end

-- The fields of the billing entry.
local function spec_fields(job)
  local _, fields = cmsgpack.unpack_one(job.packed, job.fields_at)
  return fields
end

-- The first part that a spec lacks, or nil.
local function missing_part(spec)
  if not spec.kind then return 'kind' end
  if not spec.queue then return 'queue' end
  if not spec.usage_type then return 'usage_type' end
  if not spec.store then return 'store' end
  if type(spec.units) ~= 'number' then return 'units' end
  if type(spec.cost) ~= 'number' then return 'cost' end
end

-- The spec of a job with these fields, as one table. In a malformed job, which no script of this version
-- wrote, `malformed` names the first part that is missing.
local function read_job(id, ...)
  local fields = read_fields(id, ...)
  if not fields then return nil end
  local is_read, job, after = pcall(unpack_spec, fields.packed)
  if not is_read or type(job) ~= 'table' or type(job.key) ~= 'string' then return nil end
  for name, value in pairs(fields) do job[name] = value end
  job.malformed, job.fields_at = missing_part(job), after
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
local function announce(key, seconds)
  local audio = 'audio:' .. key
  local header = read_header(audio)
  if header == '' then return nil end
  local left = redis.call('TTL', audio)
  if left >= 0 and left < seconds then redis.call('EXPIRE', audio, seconds + 10) end
  return 'c' .. header
end

-- The first of these fields that a job lacks, or what its spec lacks, or nil. A malformed job must not stop
-- its callers again and again.
local function missing_field(job, names)
  for _, name in ipairs(names) do
    if not job[name] then return name end
  end
  return job.malformed
end

local RETRY_FIELDS = {'attempts', 'owner', 'rank', 'user', 'billable'}

-- Another attempt for a job whose worker failed, or its end: after the last attempt, or when it has no
-- subscribers left. `job` is read with RETRY_FIELDS.
local function retry_or_dead_letter(id, job, max_attempts, reason)
  redis.call('ZREM', 'leases', id)
  if missing_field(job, RETRY_FIELDS) then
    end_without_result(id, job, 'e', reason)
    return 'MALFORMED'
  end
  -- Unbilled jobs and warming need no subscribers.
  if job.billable == '1' and job.owner ~= WARM and redis.call('EXISTS', 'subs:' .. job.key) == 0 then
    end_without_result(id, job, 'e', reason)
    return 'DROPPED'
  end
  redis.call('HDEL', 'job:' .. id, 'worker')
  if tonumber(job.attempts) < max_attempts then
    push(id, job.queue, job.owner, job.rank)
    return 'REQUEUED'
  end
  local letter = {'id', id, 'kind', job.kind, 'queue', job.queue, 'key', job.key, 'attempts', job.attempts,
    'reason', reason, 'sealed:job', cmsgpack.pack(redis.call('HGETALL', 'job:' .. id))}
  for _, part in ipairs(spec_fields(job)) do letter[#letter + 1] = part end
  redis.call('XADD', 'dead:jobs', 'MAXLEN', '~', 10000, '*', unpack(letter))
  redis.call('SET', 'outcome:' .. job.key, 'e' .. reason, 'EX', 60)
  end_without_result(id, job, 'e', reason)
  return 'DEAD'
end

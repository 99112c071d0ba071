-- Apply a result: bytes to keep, billing entry, persist entry, notifications and the end of the job, in one
-- step. A redelivered result finds no job and changes nothing.
-- KEYS: results stream   ARGV: group, entry id, job id, outcome, detail
local function acknowledge()
  redis.call('XACK', KEYS[1], ARGV[1], ARGV[2])
  redis.call('XDEL', KEYS[1], ARGV[2])
end

local id, outcome, detail = ARGV[3], ARGV[4], ARGV[5]
local names = {'document', 'user', 'owner', 'rank', 'billable'}
local job = read_job(id, 'api_key', 'result', 'final_cost', unpack(names))
if not job then
  acknowledge()
  return 'GONE'
end
-- Before anything is written: a script that fails half-way is not rolled back.
local missing = missing_field(job, names)
if missing then return redis.error_reply('MALFORMED job without ' .. missing) end
local is_read, fields = pcall(spec_fields, job)
if not is_read or type(fields) ~= 'table' then return redis.error_reply('MALFORMED job without fields') end
local is_packed, result = pcall(cmsgpack.unpack, job.result or '\144') -- an empty array
if not is_packed then return redis.error_reply('MALFORMED result') end
acknowledge() -- the first write, which a full Redis refuses no more than those that follow it

if outcome == 's' then
  redis.call('SET', 'outcome:' .. job.key, 's', 'EX', 604800)
  end_without_result(id, job, 's', '')
  return 'SKIPPED'
elseif outcome == 'e' then
  redis.call('SET', 'outcome:' .. job.key, 'e' .. detail, 'EX', 60)
  end_without_result(id, job, 'e', detail)
  return 'ERROR'
end

local audio = 'audio:' .. job.key
local size = redis.call('STRLEN', 'res:' .. id)
if size == 0 then -- the bytes are lost: the job runs again
  unqueue(id, job.queue, job.owner)
  redis.call('HDEL', 'job:' .. id, 'submitted', 'worker', 'result', 'final_cost')
  push(id, job.queue, job.owner, job.rank)
  return 'REQUEUED'
end

local at, cost = now_ms(), tonumber(job.final_cost) or job.cost
redis.call('RENAME', 'res:' .. id, audio)
local use = {'id', id, 'kind', job.kind, 'user', job.user, 'api_key', job.api_key or '', 'cost', cost,
  'usage_type', job.usage_type, 'billable', job.billable, 'document', job.document,
  'created_ms', string.format('%.0f', at)}
for _, part in ipairs(fields) do use[#use + 1] = part end
for _, part in ipairs(result) do use[#use + 1] = part end
local entry = redis.call('XADD', 'billing', '*', unpack(use))
-- `job` is an array of user, document and spec.
redis.call('XADD', 'persist', '*', 'hash', job.key, 'alias', job.store, 'size', size, 'user', job.user,
  'job', '\147' .. cmsgpack.pack(job.user) .. cmsgpack.pack(job.document) .. job.packed)
redis.call('INCRBY', 'unpersisted', size)
if job.billable == '1' then
  local day = 'day:' .. math.floor(at / 86400000) -- days since 1970-01-01
  settle_reservation(id, job, cost, entry)
  redis.call('ZADD', 'finished', at, id)
  redis.call('HINCRBY', day, 'characters', cost)
  if redis.call('HINCRBY', day, 'jobs', 1) == 1 then redis.call('EXPIRE', day, 9 * 86400) end
end
unqueue(id, job.queue, job.owner) -- the job of a late result may be queued again
publish_completion(job.key, 'c', read_header(audio))
delete_job(id, job.key)
return 'CACHED'

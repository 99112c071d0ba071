-- Apply a result: audio, billing entry, persist entry, notifications and the end of the job, in one step. A
-- redelivered result finds no job and changes nothing.
-- KEYS: results stream   ARGV: group, entry id, job id, outcome, detail
local function acknowledge()
  redis.call('XACK', KEYS[1], ARGV[1], ARGV[2])
  redis.call('XDEL', KEYS[1], ARGV[2])
end

-- ISO date of a day number (days since 1970-01-01), in the proleptic Gregorian calendar.
local function date_of(days)
  local z = days + 719468
  local era = math.floor(z / 146097)
  local doe = z - era * 146097
  local leap_days = math.floor(doe / 1460) - math.floor(doe / 36524) + math.floor(doe / 146096)
  local yoe = math.floor((doe - leap_days) / 365)
  local doy = doe - (365 * yoe + math.floor(yoe / 4) - math.floor(yoe / 100))
  local mp = math.floor((5 * doy + 2) / 153)
  local month = mp < 10 and mp + 3 or mp - 9
  local year = yoe + era * 400 + (month <= 2 and 1 or 0)
  return string.format('%04d-%02d-%02d', year, month, doy - math.floor((153 * mp + 2) / 5) + 1)
end

local id, outcome, detail = ARGV[3], ARGV[4], ARGV[5]
local names = {'text', 'chars', 'cost', 'model', 'voice', 'params', 'revision', 'codec', 'multiplier_bp',
  'usage_type', 'document', 'user', 'owner', 'rank', 'billable', 'duration_ms'}
local job = read_job(id, unpack(names))
if not job then
  acknowledge()
  return 'GONE'
end
-- Before anything is written: a script that fails half-way is not rolled back.
local missing = missing_field(job, names)
if missing then return redis.error_reply('MALFORMED job without ' .. missing) end
acknowledge() -- the first write, which a full Redis refuses no more than those that follow it

if outcome == 's' then
  redis.call('SET', 'outcome:' .. job.hash, 's', 'EX', 604800)
  end_without_audio(id, job, 's', '')
  return 'SKIPPED'
elseif outcome == 'e' then
  redis.call('SET', 'outcome:' .. job.hash, 'e' .. detail, 'EX', 60)
  end_without_audio(id, job, 'e', detail)
  return 'ERROR'
end

local audio = 'audio:' .. job.hash
local size = redis.call('STRLEN', 'res:' .. id)
if size == 0 then -- the bytes are lost: the job runs again
  unqueue(id, job.model, job.owner)
  redis.call('HDEL', 'job:' .. id, 'submitted', 'worker')
  push(id, job.model, job.owner, job.rank)
  return 'REQUEUED'
end

local at = now_ms()
redis.call('RENAME', 'res:' .. id, audio)
redis.call('XADD', 'billing', '*', 'id', id, 'user', job.user, 'chars', job.chars,
  'multiplier_bp', job.multiplier_bp, 'cost', job.cost, 'usage_type', job.usage_type,
  'billable', job.billable, 'hash', job.hash, 'model', job.model, 'voice', job.voice,
  'document', job.document, 'duration_ms', job.duration_ms, 'created_ms', string.format('%.0f', at))
redis.call('XADD', 'persist', '*', 'hash', job.hash, 'size', size, 'job', cmsgpack.pack({
  hash = job.hash, text = job.text, chars = job.chars, cost = job.cost, model = job.model, voice = job.voice,
  params = job.params, revision = job.revision, codec = job.codec, multiplier_bp = job.multiplier_bp,
  usage_type = job.usage_type, document = job.document, user = job.user}))
redis.call('INCRBY', 'unpersisted', size)
if job.billable == '1' then
  local day = 'day:' .. date_of(math.floor(at / 86400000))
  redis.call('ZADD', 'finished', at, id)
  redis.call('HINCRBY', day, 'characters', job.cost)
  if redis.call('HINCRBY', day, 'jobs', 1) == 1 then redis.call('EXPIRE', day, 9 * 86400) end
end
unqueue(id, job.model, job.owner) -- the job of a late result may be queued again
publish_completion(job.hash, 'c', read_header(audio))
delete_job(id, job.hash)
return 'CACHED'

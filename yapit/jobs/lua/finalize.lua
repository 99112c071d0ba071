-- All that follows from a result, in one step. A redelivered entry finds no job, and nothing happens twice.
-- KEYS: results stream   ARGV: group, entry id, job id, outcome, detail
local function let_go()
  redis.call('XACK', KEYS[1], ARGV[1], ARGV[2])
  redis.call('XDEL', KEYS[1], ARGV[2])
end

-- Civil date of a day number (days since 1970-01-01), proleptic Gregorian.
local function date_of(days)
  local z = days + 719468
  local era = math.floor(z / 146097)
  local doe = z - era * 146097
  local yoe = math.floor((doe - math.floor(doe / 1460) + math.floor(doe / 36524) - math.floor(doe / 146096)) / 365)
  local doy = doe - (365 * yoe + math.floor(yoe / 4) - math.floor(yoe / 100))
  local mp = math.floor((5 * doy + 2) / 153)
  local month = mp < 10 and mp + 3 or mp - 9
  local year = yoe + era * 400 + (month <= 2 and 1 or 0)
  return string.format('%04d-%02d-%02d', year, month, doy - math.floor((153 * mp + 2) / 5) + 1)
end

local id, outcome, detail = ARGV[3], ARGV[4], ARGV[5]
local names = {'text', 'chars', 'cost', 'model', 'voice', 'params', 'revision', 'codec', 'multiplier_bp', 'usage_type',
  'document', 'user', 'owner', 'rank', 'billable', 'duration_ms'}
local job = load(id, unpack(names))
if not job then
  let_go()
  return 'GONE'
end
-- Before anything is written: a script that fails half-way is not undone.
local missing = lacks(job, names)
if missing then return redis.error_reply('MALFORMED job without ' .. missing) end
let_go() -- a full Redis refuses this no more than what follows a write

if outcome == 's' then
  redis.call('SET', 'outcome:' .. job.hash, 's', 'EX', 604800)
  fail(id, job, 's', '')
  return 'SKIPPED'
elseif outcome == 'e' then
  redis.call('SET', 'outcome:' .. job.hash, 'e' .. detail, 'EX', 60)
  fail(id, job, 'e', detail)
  return 'ERROR'
end

local audio = 'audio:' .. job.hash
local size = redis.call('STRLEN', 'res:' .. id)
if size == 0 then -- the bytes did not survive: make them again
  unqueue(id, job.model, job.owner)
  redis.call('HDEL', 'job:' .. id, 'submitted', 'worker')
  push(id, job.model, job.owner, job.rank)
  return 'REQUEUED'
end

local at = now_ms()
redis.call('RENAME', 'res:' .. id, audio)
redis.call('XADD', 'billing', '*', 'id', id, 'user', job.user, 'chars', job.chars, 'multiplier_bp', job.multiplier_bp,
  'cost', job.cost, 'usage_type', job.usage_type, 'billable', job.billable, 'hash', job.hash, 'model', job.model,
  'voice', job.voice, 'document', job.document, 'duration_ms', job.duration_ms, 'created_ms', string.format('%.0f', at))
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
unqueue(id, job.model, job.owner) -- a late result may find its job queued again
ring(job.hash, 'c', header_of(audio))
forget(id, job.hash)
return 'CACHED'

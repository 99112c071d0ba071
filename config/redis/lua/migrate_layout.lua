-- Carries the data of layouts 1 and 2 over to layout 3. One atomic step, repeatable. Begins with DEL, after
-- which a full Redis accepts the other writes of a script.
-- KEYS: layout   ARGV: version, streams that may have dead letters
local function keys_of(pattern)
  local seen, keys, cursor = {}, {}, '0'
  repeat
    local page = redis.call('SCAN', cursor, 'MATCH', pattern, 'COUNT', 1000)
    cursor = page[1]
    for _, key in ipairs(page[2]) do
      if not seen[key] then keys[#keys + 1] = key end
      seen[key] = true
    end
  until cursor == '0'
  return keys
end

-- Names and values in turn as a table.
local function by_name(parts)
  local fields = {}
  for i = 1, #parts, 2 do fields[parts[i]] = parts[i + 1] end
  return fields
end

local function each_entry(stream, visit)
  local after = '-'
  repeat
    local entries = redis.call('XRANGE', stream, after, '+', 'COUNT', 500)
    for _, entry in ipairs(entries) do
      visit(entry[1], entry[2])
      after = '(' .. entry[1]
    end
  until #entries == 0
end

-- The same entries under the same ids, each changed by `change`: XADD cannot change an entry that exists. The
-- consumer groups of a changed stream are gone: all of its entries are unacknowledged, and a consumer that
-- finds no group reads from the beginning.
local function rewrite(stream, change)
  local copy, is_changed = stream .. ':migrating', false
  redis.call('DEL', copy)
  each_entry(stream, function(id, parts)
    is_changed = change(parts) or is_changed
    redis.call('XADD', copy, id, unpack(parts))
  end)
  if is_changed then redis.call('RENAME', copy, stream) else redis.call('DEL', copy) end
end

-- --- Layout 1: other names -------------------------------------------------------------------------------

for i = 2, #ARGV do
  rewrite('dead:' .. ARGV[i], function(parts)
    local is_changed = false
    for j = 1, #parts, 2 do
      if parts[j] == 'let_go' then parts[j], is_changed = 'acknowledge_args', true end
    end
    return is_changed
  end)
end
for old, new in pairs({['due:'] = 'reserved:', ['asked:'] = 'requested:'}) do
  for _, key in ipairs(keys_of(old .. '*')) do
    redis.call('RENAME', key, new .. string.sub(key, #old + 1))
  end
end
if redis.call('EXISTS', 'counted-due') == 1 then redis.call('RENAME', 'counted-due', 'reserved-counted') end

-- --- Layout 2: jobs, whose fields were keys of their own ---------------------------------------------------

local SPEC = {'hash', 'text', 'chars', 'cost', 'model', 'voice', 'params', 'revision', 'codec',
  'multiplier_bp', 'usage_type'}

-- The spec of a job with such fields, packed as `yapit.jobs.JobSpec` is; nil if one is missing. Partly by
-- hand, since cmsgpack packs no binary values.
local function packed_spec(job)
  for _, name in ipairs(SPEC) do
    if not job[name] then return nil end
  end
  local chars, cost, multiplier_bp = tonumber(job.chars), tonumber(job.cost), tonumber(job.multiplier_bp)
  if not (chars and cost and multiplier_bp) then return nil end
  local payload = cmsgpack.pack({text = job.text, voice = job.voice, params = job.params,
    revision = job.revision, codec = job.codec})
  local spec = {kind = 'speech', queue = job.model, key = job.hash, usage_type = job.usage_type,
    units = chars, cost = cost, store = 'audio'}
  local fields = {'hash', job.hash, 'model', job.model, 'voice', job.voice, 'chars', chars, 'multiplier_bp',
    multiplier_bp}
  -- An array of three, the last binary with a length of four bytes.
  return '\147' .. cmsgpack.pack(spec) .. cmsgpack.pack(fields)
    .. '\198' .. struct.pack('>I4', #payload) .. payload
end

-- The fields of a job in layout 3, or nil for a malformed job.
local function migrated_job(job)
  local spec = packed_spec(job)
  if not spec then return nil end
  local fields = {'spec', spec}
  for _, name in ipairs({'user', 'owner', 'rank', 'attempts', 'created', 'document', 'billable', 'worker',
      'submitted'}) do
    if job[name] then
      fields[#fields + 1] = name
      fields[#fields + 1] = job[name]
    end
  end
  if job.duration_ms then
    fields[#fields + 1] = 'result'
    fields[#fields + 1] = cmsgpack.pack({'duration_ms', tonumber(job.duration_ms) or 0})
  end
  return fields
end

local reserved = {}
local function reserve(id, user, usage_type, cost, entry)
  local value = string.format('%s %s %.0f %s', user, usage_type, cost, entry)
  redis.call('HSET', 'reservations', id, string.format('%-65s', value))
  reserved[user] = reserved[user] or {}
  reserved[user][usage_type] = (reserved[user][usage_type] or 0) + cost
end

redis.call('DEL', 'reservations')
for _, key in ipairs(keys_of('job:*')) do
  local parts = redis.pcall('HGETALL', key)
  local job = by_name(parts.err and {} or parts)
  if job.hash then
    local fields = migrated_job(job)
    redis.call('DEL', key)
    if fields then redis.call('HSET', key, unpack(fields)) end
    if fields and job.billable == '1' and job.user and tonumber(job.cost) > 0 then
      reserve(string.sub(key, 5), job.user, job.usage_type, tonumber(job.cost), '')
    end
  end
end

-- --- Layout 2: reservations, which belonged to no job ------------------------------------------------------

each_entry('billing', function(entry, parts)
  local use = by_name(parts)
  local cost = tonumber(use.cost)
  if use.id and use.user and use.usage_type and cost and cost > 0 and use.billable == '1' then
    reserve(use.id, use.user, use.usage_type, cost, entry)
  end
end)
for _, key in ipairs(keys_of('reserved:*')) do redis.call('DEL', key) end
for user, usage_types in pairs(reserved) do
  for usage_type, cost in pairs(usage_types) do
    redis.call('HSET', 'reserved:' .. user, usage_type, string.format('%.0f', cost))
  end
end

-- --- Layout 2: streams and dead letters --------------------------------------------------------------------

-- The `job` of a persist entry as an array of user, document and spec. Anything else is left as it is.
local function migrated_lost_job(packed)
  local is_read, job = pcall(cmsgpack.unpack, packed)
  local spec = is_read and type(job) == 'table' and packed_spec(job)
  if not (spec and job.user and job.document) then return packed end
  return '\147' .. cmsgpack.pack(job.user) .. cmsgpack.pack(job.document) .. spec
end

local function migrate_persist(parts)
  if by_name(parts).alias then return false end
  for i = 1, #parts, 2 do
    if parts[i] == 'job' or parts[i] == 'sealed:job' then parts[i + 1] = migrated_lost_job(parts[i + 1]) end
  end
  parts[#parts + 1] = 'alias'
  parts[#parts + 1] = 'audio'
  return true
end
rewrite('persist', migrate_persist)
rewrite('dead:persist', migrate_persist)

rewrite('dead:jobs', function(parts)
  local letter = by_name(parts)
  if letter.key or not letter['sealed:job'] then return false end
  local job = by_name(cmsgpack.unpack(letter['sealed:job']))
  local fields = migrated_job(job)
  if not fields then return false end
  for i = 1, #parts, 2 do
    if parts[i] == 'sealed:job' then parts[i + 1] = cmsgpack.pack(fields) end
  end
  for _, part in ipairs({'kind', 'speech', 'queue', job.model, 'key', job.hash}) do
    parts[#parts + 1] = part
  end
  return true
end)

-- The arguments of a follow-up begin with the id of the job.
rewrite('dead:billing', function(parts)
  local letter = by_name(parts)
  local args = cjson.decode(letter.acknowledge_args or '[]')
  if #args ~= 3 or not letter.id then return false end
  table.insert(args, 1, letter.id)
  for i = 1, #parts, 2 do
    if parts[i] == 'acknowledge_args' then parts[i + 1] = cjson.encode(args) end
  end
  return true
end)

-- Days are numbers since 1970-01-01 instead of dates.
for _, key in ipairs(keys_of('day:*')) do
  local year, month, day = string.match(key, '^day:(%d%d%d%d)-(%d%d)-(%d%d)$')
  if year then
    year, month, day = tonumber(year), tonumber(month), tonumber(day)
    if month <= 2 then year, month = year - 1, month + 12 end
    local days = 365 * year + math.floor(year / 4) - math.floor(year / 100) + math.floor(year / 400)
      + math.floor((153 * (month - 3) + 2) / 5) + day - 719469
    redis.call('RENAME', key, string.format('day:%.0f', days))
  end
end

redis.call('SET', KEYS[1], ARGV[1])
return 'MIGRATED'

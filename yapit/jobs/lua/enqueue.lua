-- Ask for audio, all blocks of a message in one step. Each is answered from what is there (c, s), joined to work
-- under way (j), queued (q), or refused (r, with the reason and a figure). Repeatable: asking again joins.
-- In front of the answers: usage types with a ceiling, each followed by what is left below it.
-- ARGV: what holds for all (user, ceilings, seconds, unpersisted, waiting, per_minute, documents,
--       document_ms, done_with: documents that nothing is waited for of any more), the jobs (id, work,
--       member, document, priority, billable, is_limited), both in msgpack as `yapit.jobs` packs them
local all, wanted = cmsgpack.unpack(ARGV[1]), cmsgpack.unpack(ARGV[2])
local user, at = all.user, now_ms()
local number = redis.call('INCRBY', 'job-number', #wanted) - #wanted -- a full Redis refuses this, before anything is there
-- The last: the audio file is far over its limit, and nothing in it may leave.
local is_full = tonumber(redis.call('GET', 'unpersisted') or 0) > all.unpersisted
  or redis.call('EXISTS', 'storage-full') == 1

-- What may still be asked for. A ceiling was read together with `asked`, which no Redis that lost its data has.
local left = {}
for usage_type, ceiling in pairs(all.ceilings) do
  local asked = redis.call('HGET', 'requested:' .. user, usage_type)
  left[usage_type] = asked and ceiling - tonumber(asked) or 'unread'
end

local bucket, tokens = 'limit:blocks:' .. user, nil
local taken = 0

local documents, places, kept = 'limit:documents:' .. user, {}, {}
if #all.done_with > 0 then redis.call('ZREM', documents, unpack(all.done_with)) end

local function refused(reason, figure) return 'r' .. reason .. ' ' .. string.format('%.0f', figure or 0) end

local function cannot_pay(job)
  local available = left[job.work.usage_type]
  if not job.billable or available == nil then return nil end
  if available == 'unread' then return refused('unread') end
  if available < job.work.cost then return refused('usage_limit', math.max(0, available)) end
end

-- Asking again is free: for what one waits for, and, over another connection, for what one pays for.
local function is_accepted(job, other)
  return other.user == user or redis.call('SISMEMBER', 'subs:' .. other.hash, job.member) == 1
end

local function is_too_much(job)
  if not job.is_limited then return nil end
  local document = job.document
  if document ~= '' then
    places[document] = places[document] or wait_for_slot(documents, document, all.documents, all.document_ms)
    if places[document] > 0 then return refused('too_many_documents', places[document]) end
  end
  if not tokens then
    local wait
    wait, tokens = read_bucket(bucket, all.per_minute, all.per_minute / 60, 0)
  end
  if tokens - taken < 1 then
    return refused('rate_limited', math.ceil((1 - tokens + taken) * 60000 / all.per_minute))
  end
  kept[document] = true
  return nil, 1
end

-- Somebody needs it sooner than it was asked for.
local function move_up(id, job, rank_base)
  local waiting = redis.call('ZSCORE', 'queue:' .. job.model .. ':' .. job.owner, id)
  if not waiting or tonumber(waiting) < rank_base + 1e14 then return end
  local sooner = string.format('%.0f', rank_base + tonumber(waiting) % 1e14)
  redis.call('HSET', 'job:' .. id, 'rank', sooner)
  if job.owner == WARM then
    unqueue(id, job.model, WARM)
    redis.call('HSET', 'job:' .. id, 'owner', user)
    push(id, job.model, user, sooner)
  else
    redis.call('ZADD', 'queue:' .. job.model .. ':' .. job.owner, sooner, id)
  end
end

-- All who waited have left while it was spoken: who comes to wait for it pays.
local function take_over(id, running)
  if running.billable ~= '1' or running.owner == WARM or running.user == user then return end
  if redis.call('EXISTS', 'subs:' .. running.hash) == 1 then return end
  local cost = tonumber(running.cost)
  owe(running.user, running.usage_type, -cost)
  owe(user, running.usage_type, cost)
  redis.call('HSET', 'job:' .. id, 'user', user)
  if left[running.usage_type] then left[running.usage_type] = left[running.usage_type] - cost end
end

local function queue(job, owner, rank)
  local work = job.work
  redis.call('HSET', 'job:' .. job.id, 'hash', work.hash, 'user', user, 'owner', owner, 'rank', rank, 'attempts', 0,
    'created', at, 'text', work.text, 'chars', work.chars, 'cost', work.cost, 'model', work.model,
    'voice', work.voice, 'params', work.params, 'revision', work.revision, 'codec', work.codec,
    'multiplier_bp', work.multiplier_bp, 'usage_type', work.usage_type, 'document', job.document,
    'billable', job.billable and 1 or 0)
  if job.member ~= '' then redis.call('SADD', 'subs:' .. work.hash, job.member) end
  redis.call('SET', 'inflight:' .. work.hash, job.id)
  redis.call('DEL', 'outcome:' .. work.hash)
  if job.billable then
    owe(user, work.usage_type, work.cost)
    if left[work.usage_type] then left[work.usage_type] = left[work.usage_type] - work.cost end
  end
  push(job.id, work.model, owner, rank)
end

local function answer(job, place)
  local work = job.work
  local cached = announce(work.hash, all.seconds)
  if cached then return cached end
  if redis.call('GET', 'outcome:' .. work.hash) == 's' then return 's' end
  local running = redis.call('GET', 'inflight:' .. work.hash)
  local other = running and load(running, 'model', 'owner', 'user', 'usage_type', 'cost', 'billable')
  local no, one
  if not (other and is_accepted(job, other)) then
    no = cannot_pay(job)
    if no then return no end
    no, one = is_too_much(job)
    if no then return no end
  end

  local rank_base = job.priority * 1e14
  if other then
    if job.member ~= '' then
      if job.billable then take_over(running, other) end
      redis.call('SADD', 'subs:' .. work.hash, job.member)
    end
    taken = taken + (one or 0)
    move_up(running, other, rank_base)
    return 'j'
  end

  local owner = job.priority >= 2 and WARM or user
  if is_full then return refused('busy') end
  if redis.call('ZCARD', 'queue:' .. work.model .. ':' .. owner) >= all.waiting then return refused('busy') end
  taken = taken + (one or 0)
  queue(job, owner, string.format('%.0f', rank_base + number + place))
  return 'q'
end

local answers, below = {{}}, {}
for place, job in ipairs(wanted) do answers[place + 1] = answer(job, place) end
for usage_type, available in pairs(left) do
  if available ~= 'unread' then
    table.insert(below, usage_type)
    table.insert(below, string.format('%.0f', available))
  end
end
answers[1] = below
for document in pairs(kept) do
  if document ~= '' then write_slot(documents, document, all.document_ms) end
end
if taken > 0 then write_bucket(bucket, all.per_minute, all.per_minute / 60, tokens - taken, at) end
return answers

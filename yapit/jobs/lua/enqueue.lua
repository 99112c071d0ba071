-- Request the results of all jobs of a message in one step. Each is answered with the existing state (c, s),
-- joined to an unfinished job (j), queued (q), or refused (r, with the reason and a figure). Repeatable: a
-- second request joins the job of the first.
-- In front of the answers: usage types with a limit, each followed by what is left below it.
-- ARGV: common to all requests (user, api_key, limits, audio_seconds, unpersisted_limit, waiting_limit,
--       blocks_per_minute, document_limit, document_ms, finished_documents), then the requests (id, member,
--       document, priority, billable, is_limited), both in msgpack as `yapit.jobs` packs them, then the spec
--       of each request, packed as it is stored
local common, requests = cmsgpack.unpack(ARGV[1]), cmsgpack.unpack(ARGV[2])
for position, request in ipairs(requests) do
  request.packed = ARGV[2 + position]
  request.spec = unpack_spec(request.packed)
end
local user, at = common.user, now_ms()
-- First, since a full Redis refuses it: nothing is written then.
local number = redis.call('INCRBY', 'job-number', #requests) - #requests
-- storage-full: the audio file is far over its limit, and nothing in it may be evicted.
local is_full = tonumber(redis.call('GET', 'unpersisted') or 0) > common.unpersisted_limit
  or redis.call('EXISTS', 'storage-full') == 1

-- Characters that the account may still request. A limit belongs to a `requested` total, which a Redis that
-- lost its data lacks: the balance must be read again then.
local left = {}
for usage_type, limit in pairs(common.limits) do
  local requested = redis.call('HGET', 'requested:' .. user, usage_type)
  left[usage_type] = requested and limit - tonumber(requested) or 'unread'
end

local bucket, tokens = 'limit:blocks:' .. user, nil
local taken = 0
local per_second = common.blocks_per_minute / 60

local documents, waits, accepted_documents = 'limit:documents:' .. user, {}, {}
if #common.finished_documents > 0 then redis.call('ZREM', documents, unpack(common.finished_documents)) end

local function refused(reason, figure) return 'r' .. reason .. ' ' .. string.format('%.0f', figure or 0) end

-- The refusal of a request that exceeds the credit, or nil.
local function exceeds_credit(request)
  local available = left[request.spec.usage_type]
  if not request.billable or available == nil then return nil end
  if available == 'unread' then return refused('unread') end
  if available < request.spec.cost then return refused('usage_limit', math.max(0, available)) end
end

-- Whether the request repeats an accepted one: of the same connection, or of the account that pays for the
-- job.
local function is_accepted(request, job)
  return job.user == user or redis.call('SISMEMBER', 'subs:' .. job.key, request.member) == 1
end

-- The refusal of a request that exceeds a rate, or nil and the number of tokens that it takes.
local function exceeds_rate(request)
  if not request.is_limited then return nil end
  local document = request.document
  if document ~= '' then
    waits[document] = waits[document]
      or wait_for_slot(documents, document, common.document_limit, common.document_ms)
    if waits[document] > 0 then return refused('too_many_documents', waits[document]) end
  end
  if not tokens then
    local wait
    wait, tokens = read_bucket(bucket, common.blocks_per_minute, per_second, 0)
  end
  if tokens - taken < 1 then
    return refused('rate_limited', math.ceil((1 - tokens + taken) * 60000 / common.blocks_per_minute))
  end
  accepted_documents[document] = true
  return nil, 1
end

-- A queued job moves to the rank of a more urgent request.
local function move_up(id, job, rank_base)
  local rank = redis.call('ZSCORE', 'queue:' .. job.queue .. ':' .. job.owner, id)
  if not rank or tonumber(rank) < rank_base + 1e14 then return end
  local sooner = string.format('%.0f', rank_base + tonumber(rank) % 1e14)
  redis.call('HSET', 'job:' .. id, 'rank', sooner)
  if job.owner == WARM then
    unqueue(id, job.queue, WARM)
    redis.call('HSET', 'job:' .. id, 'owner', user)
    push(id, job.queue, user, sooner)
  else
    redis.call('ZADD', 'queue:' .. job.queue .. ':' .. job.owner, sooner, id)
  end
end

-- A running job whose subscribers have all left is paid for by the next one.
local function take_over(id, job)
  if job.billable ~= '1' or job.owner == WARM or job.user == user then return end
  if redis.call('EXISTS', 'subs:' .. job.key) == 1 then return end
  move_reservation(id, user)
  redis.call('HSET', 'job:' .. id, 'user', user, 'api_key', common.api_key)
  if left[job.usage_type] then left[job.usage_type] = left[job.usage_type] - job.cost end
end

local function create_job(request, owner, rank)
  local id, spec = request.id, request.spec
  redis.call('HSET', 'job:' .. id, 'spec', request.packed, 'user', user, 'api_key', common.api_key,
    'owner', owner, 'rank', rank, 'attempts', 0, 'created', at, 'document', request.document,
    'billable', request.billable and 1 or 0)
  if request.member ~= '' then redis.call('SADD', 'subs:' .. spec.key, request.member) end
  redis.call('SET', 'inflight:' .. spec.key, id)
  redis.call('DEL', 'outcome:' .. spec.key)
  if request.billable then
    reserve(id, user, spec.usage_type, spec.cost)
    if left[spec.usage_type] then left[spec.usage_type] = left[spec.usage_type] - spec.cost end
  end
  push(id, spec.queue, owner, rank)
end

local function answer(request, position)
  local spec = request.spec
  local cached = announce(spec.key, common.audio_seconds)
  if cached then return cached end
  if redis.call('GET', 'outcome:' .. spec.key) == 's' then return 's' end
  local job_id = redis.call('GET', 'inflight:' .. spec.key)
  local job = job_id and read_job(job_id, 'owner', 'user', 'billable')
  local refusal, token
  if not (job and is_accepted(request, job)) then
    refusal = exceeds_credit(request)
    if refusal then return refusal end
    refusal, token = exceeds_rate(request)
    if refusal then return refusal end
  end

  local rank_base = request.priority * 1e14
  if job then
    if request.member ~= '' then
      if request.billable then take_over(job_id, job) end
      redis.call('SADD', 'subs:' .. spec.key, request.member)
    end
    taken = taken + (token or 0)
    move_up(job_id, job, rank_base)
    return 'j'
  end

  local owner = request.priority >= 2 and WARM or user
  if is_full then return refused('busy') end
  if redis.call('ZCARD', 'queue:' .. spec.queue .. ':' .. owner) >= common.waiting_limit then
    return refused('busy')
  end
  taken = taken + (token or 0)
  create_job(request, owner, string.format('%.0f', rank_base + number + position))
  return 'q'
end

local answers, below = {{}}, {}
for position, request in ipairs(requests) do answers[position + 1] = answer(request, position) end
for usage_type, available in pairs(left) do
  if available ~= 'unread' then
    table.insert(below, usage_type)
    table.insert(below, string.format('%.0f', available))
  end
end
answers[1] = below
for document in pairs(accepted_documents) do
  if document ~= '' then write_slot(documents, document, common.document_ms) end
end
if taken > 0 then write_bucket(bucket, common.blocks_per_minute, per_second, tokens - taken, at) end
return answers

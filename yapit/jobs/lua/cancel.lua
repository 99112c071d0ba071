-- A subscriber stops waiting. The job continues while it has other subscribers, and one of them pays for it.
-- A queued job without subscribers is dropped.
-- ARGV: hash, member
local hash, member = ARGV[1], ARGV[2]
if redis.call('SREM', 'subs:' .. hash, member) == 0 then return 'GONE' end
local id = redis.call('GET', 'inflight:' .. hash)
local job = id and read_job(id, 'model', 'owner', 'rank', 'user', 'usage_type', 'cost', 'billable')
if not job then return 'GONE' end

local next_payer
for _, other in ipairs(redis.call('SMEMBERS', 'subs:' .. hash)) do
  local user = string.match(other, '^([^:]+):')
  if user == job.user then return 'STILL_WANTED' end
  if not next_payer or user < next_payer then next_payer = user end
end

if next_payer then
  if job.user ~= string.match(member, '^([^:]+):') then return 'STILL_WANTED' end
  if job.billable == '1' then
    reserve(job.user, job.usage_type, -tonumber(job.cost))
    reserve(next_payer, job.usage_type, tonumber(job.cost))
  end
  redis.call('HSET', 'job:' .. id, 'user', next_payer)
  if job.owner ~= WARM then
    redis.call('HSET', 'job:' .. id, 'owner', next_payer)
    if unqueue(id, job.model, job.owner) then push(id, job.model, next_payer, job.rank) end
  end
  return 'HANDED_OVER'
end

if job.owner == WARM or not unqueue(id, job.model, job.owner) then return 'RUNNING' end
if job.billable == '1' then reserve(job.user, job.usage_type, -tonumber(job.cost)) end
delete_job(id, hash)
return 'DROPPED'

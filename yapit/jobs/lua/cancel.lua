-- A subscriber stops waiting. The job continues while it has other subscribers, and one of them pays for it.
-- A queued job without subscribers is dropped.
-- ARGV: key, member
local key, member = ARGV[1], ARGV[2]
if redis.call('SREM', 'subs:' .. key, member) == 0 then return 'GONE' end
local id = redis.call('GET', 'inflight:' .. key)
local job = id and read_job(id, 'owner', 'rank', 'user')
if not job then return 'GONE' end

local next_payer
for _, other in ipairs(redis.call('SMEMBERS', 'subs:' .. key)) do
  local user = string.match(other, '^([^:]+):')
  if user == job.user then return 'STILL_WANTED' end
  if not next_payer or user < next_payer then next_payer = user end
end

if next_payer then
  if job.user ~= string.match(member, '^([^:]+):') then return 'STILL_WANTED' end
  move_reservation(id, next_payer)
  -- The API key of the next payer is not known: no key pays for a job that was handed over.
  redis.call('HSET', 'job:' .. id, 'user', next_payer, 'api_key', '')
  if job.owner ~= WARM then
    redis.call('HSET', 'job:' .. id, 'owner', next_payer)
    if unqueue(id, job.queue, job.owner) then push(id, job.queue, next_payer, job.rank) end
  end
  return 'HANDED_OVER'
end

if job.owner == WARM or not unqueue(id, job.queue, job.owner) then return 'RUNNING' end
give_back_reservation(id)
delete_job(id, key)
return 'DROPPED'

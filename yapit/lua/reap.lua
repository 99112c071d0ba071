-- Jobs whose worker went silent: another attempt, or the end. Returns how many there were.
-- ARGV: max attempts, how many at most
local expired = redis.call('ZRANGEBYSCORE', 'leases', '-inf', now_ms(), 'LIMIT', 0, ARGV[2])
for _, id in ipairs(expired) do
  local job = load(id, 'attempts', 'model', 'voice', 'owner', 'rank', 'user', 'usage_type', 'cost', 'billable')
  if job then
    retry_or_bury(id, job, tonumber(ARGV[1]), 'worker_lost')
  else
    redis.call('ZREM', 'leases', id)
  end
end
return #expired

-- Jobs whose worker went silent: another attempt, or the end. Returns how many there were.
-- ARGV: max attempts, how many at most
local expired = redis.call('ZRANGEBYSCORE', 'leases', '-inf', now_ms(), 'LIMIT', 0, ARGV[2])
for _, id in ipairs(expired) do
  local job = load(id, unpack(RETRIED))
  if not job then
    redis.call('ZREM', 'leases', id)
  elseif not pcall(retry_or_bury, id, job, tonumber(ARGV[1]), 'worker_lost') then
    forget(id, job.hash) -- nonsense, which must not keep the others from their turn
  end
end
return #expired

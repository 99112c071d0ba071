-- Retry or end jobs whose lease has expired. Returns their number.
-- ARGV: max attempts, limit
local expired = redis.call('ZRANGEBYSCORE', 'leases', '-inf', now_ms(), 'LIMIT', 0, ARGV[2])
for _, id in ipairs(expired) do
  local job = read_job(id, unpack(RETRY_FIELDS))
  if not job then
    redis.call('ZREM', 'leases', id)
  elseif not pcall(retry_or_dead_letter, id, job, tonumber(ARGV[1]), 'worker_lost') then
    give_back_reservation(id)
    delete_job(id, job.key) -- malformed: it must not delay the others
  end
end
return #expired

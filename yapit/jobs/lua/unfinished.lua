-- A result that cannot be handled: its job gets another attempt, or ends. args: job id, max attempts.
local id = args[1]
local job = load(id, unpack(RETRIED))
if job then
  redis.call('DEL', 'res:' .. id)
  redis.call('HDEL', 'job:' .. id, 'submitted')
  retry_or_bury(id, job, tonumber(args[2]), 'result_refused')
end

-- Follow-up of a result that became a dead letter: its job gets another attempt, or ends.
-- args: job id, max attempts
local id = args[1]
local job = read_job(id, unpack(RETRY_FIELDS))
if job then
  redis.call('DEL', 'res:' .. id)
  redis.call('HDEL', 'job:' .. id, 'submitted', 'result', 'final_cost')
  retry_or_dead_letter(id, job, tonumber(args[2]), 'result_refused')
end

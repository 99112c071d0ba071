-- A result that cannot be handled: its job gets another attempt, or ends. args: job id, max attempts.
local id = args[1]
local job = load(id, 'attempts', 'model', 'voice', 'owner', 'rank', 'user', 'usage_type', 'cost', 'billable')
if job then
  redis.call('DEL', 'res:' .. id)
  redis.call('HDEL', 'job:' .. id, 'submitted')
  if job.attempts and job.model and job.owner and job.rank and job.cost then
    retry_or_bury(id, job, tonumber(args[2]), 'result_refused')
  else -- not one of ours: nobody can do it
    ring(job.hash, 'e', 'result_refused')
    forget(id, job.hash)
  end
end

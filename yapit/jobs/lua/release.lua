-- Give a leased job back: to the head of its queue without counting the attempt (a worker that is stopped),
-- or as a failed attempt.
-- ARGV: id, worker, counted (0|1), max attempts, reason
local job = read_job(ARGV[1], 'worker', 'submitted', unpack(RETRY_FIELDS))
if not job or job.worker ~= ARGV[2] or job.submitted then return 'GONE' end
if ARGV[3] == '1' then return retry_or_dead_letter(ARGV[1], job, tonumber(ARGV[4]), ARGV[5]) end
redis.call('ZREM', 'leases', ARGV[1]) -- before writes that a full Redis would refuse
redis.call('HINCRBY', 'job:' .. ARGV[1], 'attempts', -1)
job.attempts = 0
return retry_or_dead_letter(ARGV[1], job, 1, '')

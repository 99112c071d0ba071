-- Submit the result of a job, and claim the next one if the worker wants it. Repeatable: the second time it
-- is a DUP, after the end of the job GONE. The bytes were uploaded before, to a key of this worker that
-- expires; they are deleted when not accepted.
-- ARGV: id, worker, outcome (c audio | s nothing to say | e error), detail, duration in ms,
--       model to claim from ('' = none), lease in ms
local id, worker, outcome = ARGV[1], ARGV[2], ARGV[3]
local upload = 'up:' .. id .. ':' .. worker

local function submit()
  local job = read_job(id, 'worker', 'submitted')
  if not job then return 'GONE' end
  if job.submitted then return 'DUP' end
  if outcome == 'c' then
    if redis.call('EXISTS', upload) == 0 then return 'LOST' end -- evicted: to be uploaded again
    redis.call('RENAME', upload, 'res:' .. id)
    redis.call('PERSIST', 'res:' .. id)
  elseif outcome == 'e' and job.worker ~= worker then
    return 'STALE' -- late audio is valid; a late error must not end the attempt of another worker
  end
  redis.call('ZREM', 'leases', id) -- before writes that a full Redis would refuse
  redis.call('HSET', 'job:' .. id, 'submitted', now_ms(), 'duration_ms', ARGV[5])
  redis.call('XADD', 'results', '*', 'id', id, 'outcome', outcome, 'detail', ARGV[4])
  return 'OK'
end

local status = submit()
if status == 'LOST' then return {status} end
if outcome == 'c' and status ~= 'OK' then redis.call('DEL', upload) end
if ARGV[6] == '' then return {status} end
return {status, unpack(claim(ARGV[6], worker, ARGV[7]))}

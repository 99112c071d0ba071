-- A worker hands in what it made, and takes its next job if it wants one. Retried freely: the second time is a
-- DUP, after the end it is GONE.
-- The bytes are there already, under a key of this worker's that expires: whatever is not accepted leaves none.
-- ARGV: id, worker, outcome (c audio | s nothing to say | e cannot), detail, duration in ms,
--       model to claim from ('' = no more), lease in ms
local id, worker, outcome = ARGV[1], ARGV[2], ARGV[3]
local upload = 'up:' .. id .. ':' .. worker

local function submit()
  local job = load(id, 'worker', 'submitted')
  if not job then return 'GONE' end
  if job.submitted then return 'DUP' end
  if outcome == 'c' then
    if redis.call('EXISTS', upload) == 0 then return 'LOST' end -- evicted: to be sent again
    redis.call('RENAME', upload, 'res:' .. id)
    redis.call('PERSIST', 'res:' .. id)
  elseif outcome == 'e' and job.worker ~= worker then
    return 'STALE' -- late audio is as good as any; a late "cannot" must not end what another worker is doing
  end
  redis.call('ZREM', 'leases', id) -- before all that a full Redis would refuse
  redis.call('HSET', 'job:' .. id, 'submitted', now_ms(), 'duration_ms', ARGV[5])
  redis.call('XADD', 'results', '*', 'id', id, 'outcome', outcome, 'detail', ARGV[4])
  return 'OK'
end

local status = submit()
if status == 'LOST' then return {status} end
if outcome == 'c' and status ~= 'OK' then redis.call('DEL', upload) end
if ARGV[6] == '' then return {status} end
return {status, unpack(claim(ARGV[6], worker, ARGV[7]))}

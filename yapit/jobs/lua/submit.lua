-- Submit the result of a job, and claim the next one if the worker wants it. Repeatable: the second time it
-- is a DUP, after the end of the job GONE. The bytes were uploaded before, to a key of this worker that
-- expires; they are deleted when not accepted.
-- ARGV: id, worker, outcome (c bytes to keep | s nothing | e error), detail, fields for the billing entry
--       (names and values in turn, a msgpack array), cost ('' = as reserved), queue to claim from
--       ('' = none), lease in ms
local id, worker, outcome = ARGV[1], ARGV[2], ARGV[3]
local upload = 'up:' .. id .. ':' .. worker

local function submit()
  local job = read_fields(id, 'worker', 'submitted')
  if not job then return 'GONE' end
  if job.submitted then return 'DUP' end
  local cost = tonumber(ARGV[6])
  if cost then
    local bound = unpack_spec(job.packed).cost
    if cost < 0 or cost > bound then return 'EXCEEDED' end
  end
  if outcome == 'c' then
    if redis.call('EXISTS', upload) == 0 then return 'LOST' end -- evicted: to be uploaded again
    redis.call('RENAME', upload, 'res:' .. id)
    redis.call('PERSIST', 'res:' .. id)
  elseif outcome == 'e' and job.worker ~= worker then
    return 'STALE' -- a late result is valid; a late error must not end the attempt of another worker
  end
  redis.call('ZREM', 'leases', id) -- before writes that a full Redis would refuse
  redis.call('HSET', 'job:' .. id, 'submitted', now_ms(), 'result', ARGV[5])
  if cost then redis.call('HSET', 'job:' .. id, 'final_cost', ARGV[6]) end
  redis.call('XADD', 'results', '*', 'id', id, 'worker', worker, 'outcome', outcome, 'detail', ARGV[4])
  return 'OK'
end

local status = submit()
if status == 'LOST' then return {status} end
if outcome == 'c' and status ~= 'OK' then redis.call('DEL', upload) end
if ARGV[7] == '' then return {status} end
return {status, unpack(claim(ARGV[7], worker, ARGV[8]))}

-- A worker hands in what it made. Retried freely: the second time is a DUP, after the end it is GONE.
-- ARGV: id, worker, outcome (c audio | s nothing to say | e cannot), detail, duration in ms, [blob]
local job = load(ARGV[1], 'worker', 'submitted')
if not job then return 'GONE' end
if job.submitted then return 'DUP' end
-- Late audio is as good as any; a late "cannot" must not end what another worker is doing.
if ARGV[3] == 'e' and job.worker ~= ARGV[2] then return 'STALE' end
if ARGV[3] == 'c' then redis.call('SET', 'res:' .. ARGV[1], ARGV[6]) end
redis.call('HSET', 'job:' .. ARGV[1], 'submitted', now_ms(), 'duration_ms', ARGV[5])
redis.call('XADD', 'results', '*', 'id', ARGV[1], 'outcome', ARGV[3], 'detail', ARGV[4])
redis.call('ZREM', 'leases', ARGV[1])
return 'OK'

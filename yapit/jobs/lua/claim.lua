-- Lease the next job of a queue to a worker.
-- ARGV: queue, worker, lease in ms
return claim(ARGV[1], ARGV[2], ARGV[3])

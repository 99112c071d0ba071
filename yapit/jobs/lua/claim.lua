-- Lease the next job of a model to a worker.
-- ARGV: model, worker, lease in ms
return claim(ARGV[1], ARGV[2], ARGV[3])

-- The next user's next job, leased to this worker. Nothing to do: an empty answer.
-- ARGV: model, worker, lease in ms
local users = 'queue:' .. ARGV[1]
for _ = 1, 500 do
  local head = redis.call('ZRANGE', users, 0, 0, 'WITHSCORES')
  if #head == 0 then return {} end
  local owner, vtime = head[1], tonumber(head[2])
  local popped = redis.call('ZPOPMIN', users .. ':' .. owner)
  local left = redis.call('ZCARD', users .. ':' .. owner)
  local id = popped[1]
  local job = id and load(id, 'text', 'voice', 'params', 'revision', 'chars', 'submitted')
  if left == 0 then redis.call('ZREM', users, owner) end
  if job and not job.submitted then
    if owner ~= WARM then
      local served = string.format('%.0f', vtime + tonumber(job.chars))
      redis.call('SET', 'vtime:' .. ARGV[1], string.format('%.0f', vtime))
      redis.call('SET', 'served:' .. ARGV[1] .. ':' .. owner, served, 'EX', 600)
      if left > 0 then redis.call('ZADD', users, served, owner) end
    end
    redis.call('ZADD', 'leases', now_ms() + tonumber(ARGV[3]), id)
    redis.call('HSET', 'job:' .. id, 'worker', ARGV[2])
    local attempt = redis.call('HINCRBY', 'job:' .. id, 'attempts', 1)
    return {id, job.hash, job.text, job.voice, job.params, job.revision, job.chars, attempt}
  end
end
return {}

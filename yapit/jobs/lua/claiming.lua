-- Virtual time that a job costs its user: its units, bounded within a factor of two, so that a user who
-- returns after a long job waits for at most three short jobs of any other user.
local function weight(units)
  return math.max(125, math.min(250, units))
end

-- The next job of the next user, leased to this worker: its id, spec and attempt. Empty: none is queued.
local function claim(queue, worker, lease_ms)
  local users = 'queue:' .. queue
  for _ = 1, 500 do
    local head = redis.call('ZRANGE', users, 0, 0, 'WITHSCORES')
    if #head == 0 then
      redis.call('DEL', 'wake:' .. queue) -- tokens without a job would wake workers in vain
      return {}
    end
    local owner, vtime = head[1], tonumber(head[2])
    local popped = redis.call('ZPOPMIN', users .. ':' .. owner)
    local left = redis.call('ZCARD', users .. ':' .. owner)
    local id = popped[1]
    local job = id and read_job(id, 'submitted', 'attempts')
    if left == 0 then redis.call('ZREM', users, owner) end
    if job and job.malformed then
      give_back_reservation(id)
      delete_job(id, job.key)
    elseif job and not job.submitted then
      if owner ~= WARM then
        local served = string.format('%.0f', vtime + weight(job.units))
        redis.call('SET', 'vtime:' .. queue, head[2])
        redis.call('SET', 'served:' .. queue .. ':' .. owner, served, 'EX', 600)
        if left > 0 then redis.call('ZADD', users, served, owner) end
      end
      redis.call('ZADD', 'leases', now_ms() + tonumber(lease_ms), id)
      local attempt = (tonumber(job.attempts) or 0) + 1
      redis.call('HSET', 'job:' .. id, 'worker', worker, 'attempts', attempt)
      return {id, job.packed, attempt}
    end
  end
  return {}
end

-- Virtual time that a job costs its user: its characters, bounded within a factor of two, so that a user who
-- returns after a long job waits for at most three short jobs of any other user.
local function weight(chars)
  return math.max(125, math.min(250, tonumber(chars) or 0))
end

local CLAIMED = {'text', 'voice', 'params', 'revision', 'codec', 'chars'}

-- The next job of the next user, leased to this worker. Empty: none is queued.
local function claim(model, worker, lease_ms)
  local users = 'queue:' .. model
  for _ = 1, 500 do
    local head = redis.call('ZRANGE', users, 0, 0, 'WITHSCORES')
    if #head == 0 then
      redis.call('DEL', 'wake:' .. model) -- tokens without a job would wake workers in vain
      return {}
    end
    local owner, vtime = head[1], tonumber(head[2])
    local popped = redis.call('ZPOPMIN', users .. ':' .. owner)
    local left = redis.call('ZCARD', users .. ':' .. owner)
    local id = popped[1]
    local job = id and read_job(id, 'submitted', 'attempts', unpack(CLAIMED))
    if left == 0 then redis.call('ZREM', users, owner) end
    if job and missing_field(job, CLAIMED) then
      delete_job(id, job.hash)
    elseif job and not job.submitted then
      if owner ~= WARM then
        local served = string.format('%.0f', vtime + weight(job.chars))
        redis.call('SET', 'vtime:' .. model, head[2])
        redis.call('SET', 'served:' .. model .. ':' .. owner, served, 'EX', 600)
        if left > 0 then redis.call('ZADD', users, served, owner) end
      end
      redis.call('ZADD', 'leases', now_ms() + tonumber(lease_ms), id)
      local attempt = (tonumber(job.attempts) or 0) + 1
      redis.call('HSET', 'job:' .. id, 'worker', worker, 'attempts', attempt)
      return {id, job.hash, job.text, job.voice, job.params, job.revision, job.codec, job.chars,
        attempt}
    end
  end
  return {}
end

-- The counts that are subtracted from a balance read right after them: the epoch of the balance, the reserved
-- characters of a user and the requested total. The epoch is read before what it stands for.
-- A requested total begins with the time in microseconds, so that no value occurs twice: a process that holds
-- a limit from before a loss of data finds it far exceeded, and reads again.
-- KEYS: epoch   ARGV: user, usage type, seconds that the total is kept without being read

-- After a loss of data, reserve again for unfinished jobs and for entries that wait to be charged.
local function recount_reserved()
  local sums = {}
  local function add(id, user, usage_type, cost, entry)
    write_reservation(id, user, usage_type, cost, entry)
    sums[user] = sums[user] or {}
    sums[user][usage_type] = (sums[user][usage_type] or 0) + cost
  end
  local function each(pattern, visit)
    local seen, cursor = {}, '0'
    repeat
      local page = redis.call('SCAN', cursor, 'MATCH', pattern, 'COUNT', 1000)
      cursor = page[1]
      for _, key in ipairs(page[2]) do
        if not seen[key] then visit(key) end
        seen[key] = true
      end
    until cursor == '0'
  end

  redis.call('DEL', 'reservations')
  each('job:*', function(key)
    local id = string.sub(key, 5)
    local job = read_job(id, 'user', 'billable')
    if job and not job.malformed and job.billable == '1' and job.user and job.cost > 0 then
      add(id, job.user, job.usage_type, job.cost, '')
    end
  end)
  local after = '-'
  repeat
    local entries = redis.call('XRANGE', 'billing', after, '+', 'COUNT', 1000)
    for _, entry in ipairs(entries) do
      local use = {}
      for i = 1, #entry[2], 2 do use[entry[2][i]] = entry[2][i + 1] end
      local cost = tonumber(use.cost)
      if use.id and use.user and use.usage_type and cost and cost > 0 and use.billable == '1' then
        add(use.id, use.user, use.usage_type, cost, entry[1])
      end
      after = '(' .. entry[1]
    end
  until #entries == 0

  each('reserved:*', function(key) redis.call('DEL', key) end)
  for user, usage_types in pairs(sums) do
    for usage_type, cost in pairs(usage_types) do
      redis.call('HSET', 'reserved:' .. user, usage_type, string.format('%.0f', cost))
    end
  end
  redis.call('SET', 'reserved-counted', 1)
end

if redis.call('EXISTS', 'reserved-counted') == 0 then recount_reserved() end
local requested = 'requested:' .. ARGV[1]
if redis.call('HEXISTS', requested, ARGV[2]) == 0 then
  redis.call('HSET', requested, ARGV[2], string.format('%.0f', now_ms() * 1000))
end
redis.call('EXPIRE', requested, ARGV[3])
local counts = {redis.call('GET', KEYS[1]) or 0, redis.call('HGET', 'reserved:' .. ARGV[1], ARGV[2]) or 0,
  redis.call('HGET', requested, ARGV[2])}
for i, count in ipairs(counts) do counts[i] = tonumber(count) end
return counts

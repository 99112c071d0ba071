-- What is to be subtracted from a balance that is read right after this: what is due, and how much had been asked
-- for. In front of both the epoch, which is read before all that it stands for. A count that begins does so with the time in microseconds, so that none ever comes twice: one who
-- remembers an older one finds far too much asked for since, and reads again.
-- KEYS: epoch   ARGV: user, usage type, seconds that the count is kept without being read

-- A Redis that lost its data knows of nothing that is due; whatever has come into it since, or was brought back,
-- says so itself: the jobs, and what waits to be charged.
local function count_again()
  local sums = {}
  local function add(user, usage_type, cost)
    sums[user] = sums[user] or {}
    sums[user][usage_type] = (sums[user][usage_type] or 0) + cost
  end
  local function each(pattern, visit)
    local seen, cursor = {}, '0'
    repeat
      local found = redis.call('SCAN', cursor, 'MATCH', pattern, 'COUNT', 1000)
      cursor = found[1]
      for _, key in ipairs(found[2]) do
        if not seen[key] then visit(key) end
        seen[key] = true
      end
    until cursor == '0'
  end

  each('job:*', function(key)
    local job = load(string.sub(key, 5), 'user', 'usage_type', 'cost', 'billable')
    if job and job.billable == '1' then add(job.user, job.usage_type, tonumber(job.cost)) end
  end)
  local after = '-'
  repeat
    local entries = redis.call('XRANGE', 'billing', after, '+', 'COUNT', 1000)
    for _, entry in ipairs(entries) do
      local use = {}
      for i = 1, #entry[2], 2 do use[entry[2][i]] = entry[2][i + 1] end
      local cost = tonumber(use.cost)
      if use.user and use.usage_type and cost and use.billable == '1' then add(use.user, use.usage_type, cost) end
      after = '(' .. entry[1]
    end
  until #entries == 0

  each('reserved:*', function(key) redis.call('DEL', key) end)
  for user, kinds in pairs(sums) do
    for usage_type, cost in pairs(kinds) do
      redis.call('HSET', 'reserved:' .. user, usage_type, string.format('%.0f', cost))
    end
  end
  redis.call('SET', 'reserved-counted', 1)
end

if redis.call('EXISTS', 'reserved-counted') == 0 then count_again() end
local asked = 'requested:' .. ARGV[1]
if redis.call('HEXISTS', asked, ARGV[2]) == 0 then
  redis.call('HSET', asked, ARGV[2], string.format('%.0f', now_ms() * 1000))
end
redis.call('EXPIRE', asked, ARGV[3])
local counts = {redis.call('GET', KEYS[1]) or 0, redis.call('HGET', 'reserved:' .. ARGV[1], ARGV[2]) or 0,
  redis.call('HGET', asked, ARGV[2])}
for i, count in ipairs(counts) do counts[i] = tonumber(count) end
return counts

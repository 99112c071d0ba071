-- Run the job of a dead letter again, with all its attempts. When its result exists or another job makes it,
-- only delete the letter. Unbilled: its subscribers were answered with an error. Repeatable.
-- KEYS: dead letters   ARGV: letter
local letter = redis.call('XRANGE', KEYS[1], ARGV[1], ARGV[1])[1]
if not letter then return 0 end
local id, sealed
for i = 1, #letter[2], 2 do
  if letter[2][i] == 'id' then id = letter[2][i + 1] end
  if letter[2][i] == 'sealed:job' then sealed = cmsgpack.unpack(letter[2][i + 1]) end
end
if not sealed then return 0 end
local fields = {}
for i = 1, #sealed, 2 do fields[sealed[i]] = sealed[i + 1] end

local spec = unpack_spec(fields.spec)

if redis.call('EXISTS', 'audio:' .. spec.key, 'inflight:' .. spec.key) == 0 then
  redis.call('HSET', 'job:' .. id, unpack(sealed)) -- first, since a full Redis refuses it
  redis.call('HSET', 'job:' .. id, 'attempts', 0, 'created', now_ms(), 'billable', 0)
  redis.call('HDEL', 'job:' .. id, 'worker', 'submitted', 'result', 'final_cost')
  redis.call('SET', 'inflight:' .. spec.key, id)
  redis.call('DEL', 'outcome:' .. spec.key)
  push(id, spec.queue, fields.owner, fields.rank)
end
redis.call('XDEL', KEYS[1], ARGV[1])
return 1

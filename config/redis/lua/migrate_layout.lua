-- Carries the data of layout 1 over to layout 2. One atomic step, repeatable. Begins with DEL, after which a
-- full Redis accepts the other writes of a script.
-- KEYS: layout   ARGV: version, streams that may have dead letters
local function keys_of(pattern)
  local seen, keys, cursor = {}, {}, '0'
  repeat
    local page = redis.call('SCAN', cursor, 'MATCH', pattern, 'COUNT', 1000)
    cursor = page[1]
    for _, key in ipairs(page[2]) do
      if not seen[key] then keys[#keys + 1] = key end
      seen[key] = true
    end
  until cursor == '0'
  return keys
end

-- The same entries under the same ids; XADD cannot change a field of an entry that exists.
local function rename_field(stream, old, new)
  local copy, after, changed = stream .. ':migrating', '-', false
  redis.call('DEL', copy)
  repeat
    local entries = redis.call('XRANGE', stream, after, '+', 'COUNT', 500)
    for _, entry in ipairs(entries) do
      for i = 1, #entry[2], 2 do
        if entry[2][i] == old then
          entry[2][i] = new
          changed = true
        end
      end
      redis.call('XADD', copy, entry[1], unpack(entry[2]))
      after = '(' .. entry[1]
    end
  until #entries == 0
  if changed then redis.call('RENAME', copy, stream) else redis.call('DEL', copy) end
end

for i = 2, #ARGV do rename_field('dead:' .. ARGV[i], 'let_go', 'acknowledge_args') end
for old, new in pairs({['due:'] = 'reserved:', ['asked:'] = 'requested:'}) do
  for _, key in ipairs(keys_of(old .. '*')) do
    redis.call('RENAME', key, new .. string.sub(key, #old + 1))
  end
end
if redis.call('EXISTS', 'counted-due') == 1 then redis.call('RENAME', 'counted-due', 'reserved-counted') end
redis.call('SET', KEYS[1], ARGV[1])
return 'MIGRATED'

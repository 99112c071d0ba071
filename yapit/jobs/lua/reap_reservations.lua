-- Give back the reservations among these that belong neither to an unfinished job nor to an entry of
-- `billing`: the entry was lost or removed, or became a dead letter unread. Returns their number.
-- ARGV: ids
local orphans = 0
for _, id in ipairs(ARGV) do
  if redis.call('EXISTS', 'job:' .. id) == 0 then
    local _, _, _, entry = read_reservation(id)
    if not entry or entry == '' or #redis.call('XRANGE', 'billing', entry, entry) == 0 then
      give_back_reservation(id)
      orphans = orphans + 1
    end
  end
end
return orphans

-- Has a claim hold its places for longer. KEYS: of the places; ARGV: the time as for
-- take, the claim's id and
-- its lease.
local now = tonumber(ARGV[1])
if not now then
  local clock = redis.call('TIME')
  now = clock[1] * 1000000 + clock[2]
end
for i = 1, #KEYS do
  redis.call('ZREMRANGEBYSCORE', KEYS[i], '-inf', now)
  if redis.call('ZADD', KEYS[i], 'XX', 'CH', now + ARGV[3], ARGV[2]) == 1 then
    local ttl = math.ceil(ARGV[3] / 1000) + 60000
    if redis.call('PTTL', KEYS[i]) < ttl then redis.call('PEXPIRE', KEYS[i], ttl) end
  end
end

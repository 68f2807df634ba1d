-- Grants all of a claim or nothing. The sums are those of domain/quota.
-- KEYS: of the rates, then of the places. ARGV: the time, empty for Redis's own; how
-- many rates, the claim's id, its lease; for each rate limit, time and units; for each
-- place the most. Times are microseconds. Gives 1 or 0 for granted, the time, each
-- account as it was before, and how many hold each place. Keys live a minute longer than
-- they need, so that a clock that is told may stand still for a while.
local now = tonumber(ARGV[1])
if not now then
  local clock = redis.call('TIME')
  now = clock[1] * 1000000 + clock[2]
end
local rates, id, lease = tonumber(ARGV[2]), ARGV[3], tonumber(ARGV[4])
local granted, out, after = 1, {}, {}
for i = 1, rates do
  local limit, per, n = tonumber(ARGV[i * 3 + 2]), tonumber(ARGV[i * 3 + 3]), tonumber(ARGV[i * 3 + 4])
  local account = tonumber(redis.call('GET', KEYS[i]) or '0') or 0
  out[i + 2] = string.format('%.17g', account)
  after[i] = math.max(account, now) + n * (per / limit)
  if n > limit or after[i] - now - per > 1 then granted = 0 end
end
for i = rates + 1, #KEYS do
  redis.call('ZREMRANGEBYSCORE', KEYS[i], '-inf', now)
  local held = redis.call('ZCARD', KEYS[i])
  out[i + 2] = tostring(held)
  if held >= tonumber(ARGV[rates * 2 + i + 4]) then granted = 0 end
end
if granted == 1 then
  for i = 1, rates do
    redis.call('SET', KEYS[i], string.format('%.17g', after[i]), 'PX', math.ceil((after[i] - now) / 1000) + 60000)
  end
  for i = rates + 1, #KEYS do
    redis.call('ZADD', KEYS[i], now + lease, id)
    local ttl = math.ceil(lease / 1000) + 60000
    if redis.call('PTTL', KEYS[i]) < ttl then redis.call('PEXPIRE', KEYS[i], ttl) end
  end
end
out[1], out[2] = tostring(granted), string.format('%.17g', now)
return out

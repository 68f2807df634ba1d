-- Ends a claim. KEYS as for take; ARGV: the time as there, how many rates, the claim's id, and for each
-- rate limit, time and the units to use in addition, which come back where negative.
local now = tonumber(ARGV[1])
if not now then
  local clock = redis.call('TIME')
  now = clock[1] * 1000000 + clock[2]
end
local rates = tonumber(ARGV[2])
for i = 1, rates do
  local limit, per, n = tonumber(ARGV[i * 3 + 1]), tonumber(ARGV[i * 3 + 2]), tonumber(ARGV[i * 3 + 3])
  if n ~= 0 then
    local account = tonumber(redis.call('GET', KEYS[i]) or '0') or 0
    account = math.max(account, now) + n * (per / limit)
    if account > now then
      redis.call('SET', KEYS[i], string.format('%.17g', account), 'PX', math.ceil((account - now) / 1000) + 60000)
    else
      redis.call('DEL', KEYS[i])
    end
  end
end
for i = rates + 1, #KEYS do redis.call('ZREM', KEYS[i], ARGV[3]) end

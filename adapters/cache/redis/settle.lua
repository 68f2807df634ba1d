-- Ends a claim. KEYS as for take; ARGV, after the first: how many rates, the claim's id,
-- and for each rate limit, time and the units to use in addition, which come back where
-- negative.
local rates = tonumber(ARGV[2])
for i = 1, rates do
  local limit, per, n = tonumber(ARGV[i * 3 + 1]), tonumber(ARGV[i * 3 + 2]), tonumber(ARGV[i * 3 + 3])
  keep(KEYS[i], math.max(account(KEYS[i]) + n * (per / limit), 0))
end
for i = rates + 1, #KEYS do redis.call('ZREM', KEYS[i], ARGV[3]) end

-- Ends a claim. KEYS as for take; ARGV: the time as there, how many rates, the claim's id, and for each
-- rate limit, time and the units to use in addition, which come back where negative.
local now = tonumber(ARGV[1])
if not now then
  local clock = redis.call('TIME')
  now = clock[1] * 1000000 + clock[2]
end
local function account(key)
  local at, used = string.match(redis.call('GET', key) or '', '^(%d+) (%S+)$')
  at, used = tonumber(at) or 0, tonumber(used) or 0
  return at, math.max(used - math.max(now - at, 0), 0)
end
local function keep(key, at, used)
  redis.call('SET', key, string.format('%.0f %.17g', math.max(now, at), used), 'PX', math.ceil(used / 1000) + 60000)
end
local rates = tonumber(ARGV[2])
for i = 1, rates do
  local limit, per, n = tonumber(ARGV[i * 3 + 1]), tonumber(ARGV[i * 3 + 2]), tonumber(ARGV[i * 3 + 3])
  if n ~= 0 then
    local at, used = account(KEYS[i])
    keep(KEYS[i], at, math.max(used + n * (per / limit), 0))
  end
end
for i = rates + 1, #KEYS do redis.call('ZREM', KEYS[i], ARGV[3]) end

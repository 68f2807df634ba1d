-- Grants all of a claim or nothing. KEYS: of the rates, then of the places. ARGV, after the
-- first: how many rates, the claim's id, its lease; for each rate limit, time and units;
-- for each place the most. Gives 1 or 0 for granted, the time, what of each account was in
-- use before, and how many hold each place.
local rates, id, lease = tonumber(ARGV[2]), ARGV[3], tonumber(ARGV[4])
local granted, out, after = 1, {}, {}
for i = 1, rates do
  local limit, per, n = tonumber(ARGV[i * 3 + 2]), tonumber(ARGV[i * 3 + 3]), tonumber(ARGV[i * 3 + 4])
  local used = account(KEYS[i])
  out[i + 2] = string.format('%.17g', used)
  after[i] = math.max(used + n * (per / limit), 0)
  if n > limit or after[i] - per > 1 then granted = 0 end
end
for i = rates + 1, #KEYS do
  free(KEYS[i], lease)
  local held = redis.call('ZCARD', KEYS[i])
  out[i + 2] = tostring(held)
  if held >= tonumber(ARGV[rates * 2 + i + 4]) then granted = 0 end
end
if granted == 1 then
  for i = 1, rates do
    keep(KEYS[i], after[i])
  end
  for i = rates + 1, #KEYS do
    redis.call('ZADD', KEYS[i], now + lease, id)
    live(KEYS[i], lease)
  end
end
out[1], out[2] = tostring(granted), string.format('%.0f', now)
return out

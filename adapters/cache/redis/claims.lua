-- Takes claims and ends others, one after the other: all of a claim is granted or nothing.
-- The sums are those of domain/quota.
-- KEYS: of the rates, then of the places. ARGV, after the first: limit and time of each
-- rate; then for each claim its id, and its numbers: 1 where it is to be taken; its lease;
-- how many rates, and of each which and how many units to use, which come back where
-- negative; of each place which of theirs, and the most. Gives the time, and for each claim to be
-- taken 1 or 0 for granted, what of each account was in use before, and how many held each
-- place.
local function numbers(text)
  local all = {}
  for word in string.gmatch(text, '%S+') do all[#all + 1] = tonumber(word) end
  return all
end
local function keep(key, used)
  redis.call('SET', key, string.format('%.0f %.17g', now, used), 'PX', math.ceil(used / 1000) + spare)
end
local rates, out = numbers(ARGV[2]), {string.format('%.0f', now)}
local used, changed, holding = {}, {}, {}
local function account(key)
  if not used[key] then
    local at, was = string.match(text(key), '^(%d+) (%S+)$')
    at, was = tonumber(at) or 0, tonumber(was) or 0
    if now < at then changed[#changed + 1] = key end
    used[key] = math.max(was - math.max(now - at, 0), 0)
  end
  return used[key]
end
local function use(key, n)
  used[key] = n
  changed[#changed + 1] = key
end
local function held(key, lease)
  if not holding[key] then
    free(key, lease)
    holding[key] = redis.call('ZCARD', key)
  end
  return holding[key]
end
-- A key that has no places but something else fails here, before any are taken: the claims
-- are asked about again then, each alone, and must not find their own.
for i = #rates / 2 + 1, #KEYS do redis.call('ZCARD', KEYS[i]) end
for c = 3, #ARGV, 2 do
  local id, n = ARGV[c], numbers(ARGV[c + 1])
  local taken, lease, places = n[1] == 1, n[2], 4 + 2 * n[3]
  local granted, after, says = 1, {}, #out + 1
  if taken then out[says] = 0 end
  for i = 4, places - 1, 2 do
    local key, limit, per = KEYS[n[i]], rates[2 * n[i] - 1], rates[2 * n[i]]
    local before = account(key)
    after[i] = math.max(before + n[i + 1] * (per / limit), 0)
    if taken then
      out[#out + 1] = string.format('%.17g', before)
      if n[i + 1] > limit or after[i] - per > 1 then granted = 0 end
    end
  end
  for i = places, taken and #n or 0, 2 do
    local before = held(KEYS[#rates / 2 + n[i]], lease)
    out[#out + 1] = before
    if before >= n[i + 1] then granted = 0 end
  end
  if granted == 1 then
    for i = 4, places - 1, 2 do use(KEYS[n[i]], after[i]) end
    for i = places, #n, 2 do
      local key, more = KEYS[#rates / 2 + n[i]], 0
      if taken then
        more = redis.call('ZADD', key, now + lease, id)
        live(key, lease)
      else
        more = -redis.call('ZREM', key, id)
      end
      if holding[key] then holding[key] = holding[key] + more end
    end
  end
  if taken then out[says] = granted end
end
for i = 1, #changed do
  if used[changed[i]] then
    keep(changed[i], used[changed[i]])
    used[changed[i]] = nil
  end
end
return table.concat(out, ' ')

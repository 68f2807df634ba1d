-- What all scripts about limits begin with: the time in microseconds, which ARGV[1] may
-- tell, and how an account is kept. The sums are those of domain/quota. Keys live a
-- minute longer than they need, so that a clock that is told may stand still for a while.
-- Where the clock was set back, what is in use is counted from the time that it is now.
local now = tonumber(ARGV[1])
if not now then
  local clock = redis.call('TIME')
  now = clock[1] * 1000000 + clock[2]
end
local function keep(key, used)
  redis.call('SET', key, string.format('%.0f %.17g', now, used), 'PX', math.ceil(used / 1000) + 60000)
end
local function account(key)
  local at, used = string.match(redis.call('GET', key) or '', '^(%d+) (%S+)$')
  at, used = tonumber(at) or 0, tonumber(used) or 0
  if now < at then keep(key, used) end
  return math.max(used - math.max(now - at, 0), 0)
end
-- Frees the places whose time is over, and has none be held for longer than a lease.
local function free(key, lease)
  redis.call('ZREMRANGEBYSCORE', key, '-inf', now)
  for _, id in ipairs(redis.call('ZRANGEBYSCORE', key, '(' .. string.format('%.0f', now + lease), '+inf')) do
    redis.call('ZADD', key, now + lease, id)
  end
end
local function live(key, lease)
  local ttl = math.ceil(lease / 1000) + 60000
  if redis.call('PTTL', key) < ttl then redis.call('PEXPIRE', key, ttl) end
end

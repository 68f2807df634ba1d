-- What all scripts about limits begin with: the time in microseconds, and how places are
-- kept. ARGV[1] is the time, empty for Redis's own; a space; and for how long, at most, no
-- script has run, as the server that asks knows by a clock that nobody sets, empty where it
-- does not know. The first key has what the clock
-- said last and how far it is ahead. It may be set, or be another's after a failover: time
-- goes on from where it was, not back, and by more than 2 s only as far as the server that
-- asks first cannot tell otherwise. Keys live an hour longer than they need, so that a
-- clock that is set forward by less forgets nothing. Where the first key was lost, and the
-- clock set back, what is in use is counted from the time that it is now.
local told, gap = string.match(ARGV[1], '^(%d*) (%d*)$')
local read = tonumber(told)
if not read then
  local clock = redis.call('TIME')
  read = clock[1] * 1000000 + clock[2]
end
local spare, inexact, longest = 3600000, 2000000, 90000000
-- What another has put in the place of a text is as good as nothing.
local function text(key)
  local said = redis.pcall('GET', key)
  return type(said) == 'string' and said or ''
end
local timekeeper = table.remove(KEYS, 1)
local last, ahead = string.match(text(timekeeper), '^(%d+) (-?%d+)$')
local passed = math.max(read - (tonumber(last) or read), 0)
if tonumber(gap) and passed > gap + inexact then passed = tonumber(gap) end
local now = (tonumber(last) or read) - (tonumber(ahead) or 0) + passed
redis.call('SET', timekeeper, string.format('%.0f %.0f', read, read - now), 'PX', longest)
-- Frees the places whose time is over, and has none be held for longer than a lease.
local function free(key, lease)
  redis.call('ZREMRANGEBYSCORE', key, '-inf', now)
  for _, id in ipairs(redis.call('ZRANGEBYSCORE', key, '(' .. string.format('%.0f', now + lease), '+inf')) do
    redis.call('ZADD', key, now + lease, id)
  end
end
local function live(key, lease)
  local ttl = math.ceil(lease / 1000) + spare
  if redis.call('PTTL', key) < ttl then redis.call('PEXPIRE', key, ttl) end
end

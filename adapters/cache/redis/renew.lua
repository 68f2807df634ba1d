-- Has a claim hold its places for longer. KEYS: of the places; ARGV, after the first: the
-- claim's id and its lease.
for i = 1, #KEYS do
  free(KEYS[i], ARGV[3])
  if redis.call('ZADD', KEYS[i], 'XX', 'CH', now + ARGV[3], ARGV[2]) == 1 then
    live(KEYS[i], ARGV[3])
  end
end

package oidc

import (
	"crypto/hmac"
	"crypto/sha256"
	"testing"
	"time"

	"agentapi/adapters/cache/memory"
	"agentapi/ports"
)

func sealedBy(pepper string) func([]byte) []byte {
	return func(text []byte) []byte {
		h := hmac.New(sha256.New, []byte(pepper))
		h.Write(text)
		return h.Sum(nil)
	}
}

func newCache(t *testing.T) ports.Cache {
	t.Helper()
	c, err := memory.Open(memory.Options{MaxBytes: 1 << 20})
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func TestAServerThatStartsWhileTheProviderIsAwayHasTheKeysThatOthersFetched(t *testing.T) {
	h, c, cache := newHouse(t), newClock(), newCache(t)
	key, later := newEC(t, "k"), newEC(t, "later")
	h.publish(key)
	server := func(pepper string, change func(*Issuer)) *Identity {
		i := open(t, h, c, change)
		i.Share(cache, sealedBy(pepper))
		return i
	}
	ask := func(i *Identity, k signer) string { return outcome(t, i, k.token(t, h, c.now(), nil)) }
	first := server("pepper", nil)
	if got := ask(first, key); got != "taken" {
		t.Fatal(got)
	}

	// What is young is not asked for again, and a new key is.
	h.fetches.Store(0)
	second := server("pepper", nil)
	if got := ask(second, key); got != "taken" || h.fetches.Load() != 0 {
		t.Errorf("with young keys in the cache: %s, after %d fetches", got, h.fetches.Load())
	}
	h.publish(key, later)
	if got := ask(second, later); got != "taken" || h.fetches.Load() != 1 {
		t.Errorf("a new key: %s, after %d fetches", got, h.fetches.Load())
	}

	h.set(func(h *house) { h.answer = broken })
	c.pass(maxAge + time.Minute)
	if got := ask(server("pepper", nil), later); got != "taken" {
		t.Errorf("started while the provider is away: %s", got)
	}
	// One that has older keys gets the newer ones of others.
	if got := ask(first, later); got != "taken" {
		t.Errorf("what another has fetched meanwhile: %s", got)
	}
	for name, i := range map[string]*Identity{
		"of another deployment": server("another pepper", nil),
		"for another provider":  server("pepper", func(i *Issuer) { i.JWKSURL += "?other" }),
	} {
		if got := ask(i, key); got != "unavailable" {
			t.Errorf("a server %s: %s", name, got)
		}
	}
	c.pass(staleLimit - maxAge - time.Minute)
	if got := ask(server("pepper", nil), key); got != "unavailable" {
		t.Errorf("an hour after they were fetched: %s", got)
	}
}

// However young a server is, the keys that it has of others are as old as they are.
func TestAKeyThatIsRemovedIsRefusedByAllServersAfterItsAge(t *testing.T) {
	h, c, cache := newHouse(t), newClock(), newCache(t)
	removed, kept := newEC(t, "removed"), newEC(t, "kept")
	h.publish(removed, kept)
	start := func() *Identity {
		i := open(t, h, c, nil)
		i.Share(cache, sealedBy("pepper"))
		return i
	}
	all := func(servers []*Identity, k signer, want string) {
		t.Helper()
		for n, i := range servers {
			if got := outcome(t, i, k.token(t, h, c.now(), nil)); got != want {
				t.Errorf("server %d: %s, want %s", n, got, want)
			}
		}
	}
	servers := []*Identity{start()}
	all(servers, removed, "taken")
	h.publish(kept)
	c.pass(maxAge - time.Second)
	servers = append(servers, start(), start())
	all(servers, removed, "taken")
	c.pass(time.Second)
	servers = append(servers, start())
	all(servers, removed, "refused")
	all(servers, kept, "taken")
}

func TestKeysInTheCacheAreBelievedOnlyAsTheyWerePutThere(t *testing.T) {
	h, c, cache := newHouse(t), newClock(), newCache(t)
	own, thief := newEC(t, "k"), newEC(t, "k")
	h.publish(own)
	first := open(t, h, c, nil)
	first.Share(cache, sealedBy("pepper"))
	if got := outcome(t, first, own.token(t, h, c.now(), nil)); got != "taken" {
		t.Fatal(got)
	}
	at := first.all[0].keys.shared
	good, ok, err := cache.Get(t.Context(), at.name)
	if err != nil || !ok {
		t.Fatalf("nothing is kept: %v", err)
	}
	forged := *at
	forged.seal = sealedBy("a guess")
	forged.put(t.Context(), map[string][]key{"k": {{"ES256", thief.private.Public()}}}, c.now())
	theirs, _, err := cache.Get(t.Context(), at.name)
	if err != nil {
		t.Fatal(err)
	}
	h.set(func(h *house) { h.answer = broken })
	flip := func(n int) []byte {
		b := append([]byte(nil), good...)
		b[n] ^= 1
		return b
	}
	for name, text := range map[string][]byte{
		"keys that another sealed": theirs, "a changed seal": flip(0), "a changed time": flip(sha256.Size + 7), "a changed key": flip(len(good) - 9),
		"nothing": {}, "what is too short": good[:10], "what is cut": good[:len(good)-1], "a seal alone": good[:sha256.Size],
	} {
		if err := cache.Set(t.Context(), at.name, text, time.Hour); err != nil {
			t.Fatal(err)
		}
		for who, k := range map[string]signer{"the issuer's": own, "the thief's": thief} {
			i := open(t, h, c, nil)
			i.Share(cache, sealedBy("pepper"))
			if got := outcome(t, i, k.token(t, h, c.now(), nil)); got != "unavailable" {
				t.Errorf("%s: a token of %s key: %s", name, who, got)
			}
		}
	}
	if err := cache.Set(t.Context(), at.name, good, time.Hour); err != nil {
		t.Fatal(err)
	}
	i := open(t, h, c, nil)
	i.Share(cache, sealedBy("pepper"))
	if got := outcome(t, i, own.token(t, h, c.now(), nil)); got != "taken" {
		t.Errorf("as it was put there: %s", got)
	}
}

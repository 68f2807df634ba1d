package oidc

import (
	"fmt"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"

	"agentapi/domain/fault"
)

// outcome is how a token fares, in a word.
func outcome(t *testing.T, i *Identity, token string) string {
	t.Helper()
	_, ok, err := i.Authenticate(t.Context(), token)
	switch {
	case ok && err == nil:
		return "taken"
	case fault.Is(err, fault.Unavailable) && fault.As(err).Code == "auth_unavailable" && fault.As(err).RetryAfter > 0:
		return "unavailable"
	case fault.Is(err, fault.Unauthenticated):
		return "refused"
	}
	return fmt.Sprintf("%v, %v", ok, err)
}

// settle waits for a fetch that runs beside.
func settle(i *Identity) { i.all[0].keys.ending.Wait() }

func broken(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusServiceUnavailable) }

func TestAnOutageOfAnHourIsLivedThrough(t *testing.T) {
	h, c := newHouse(t), newClock()
	key, other := newEC(t, "old"), newEC(t, "new")
	h.publish(key)
	i := open(t, h, c, nil)
	if got := outcome(t, i, key.token(t, h, c.now(), nil)); got != "taken" {
		t.Fatal(got)
	}
	began := c.now()
	h.set(func(h *house) { h.answer = broken })
	h.fetches.Store(0)
	c.pass(minInterval)
	for c.now().Sub(began) < staleLimit-time.Second {
		if got := outcome(t, i, key.token(t, h, c.now(), nil)); got != "taken" {
			t.Fatalf("a known key after %v: %s", c.now().Sub(began), got)
		}
		settle(i)
		if got := outcome(t, i, other.token(t, h, c.now(), nil)); got != "unavailable" {
			t.Fatalf("a new key after %v: %s", c.now().Sub(began), got)
		}
		if got := outcome(t, i, swap(key.token(t, h, c.now(), nil), 2, part(strings.Repeat("x", 64)))); got != "refused" {
			t.Fatalf("a bad signature after %v: %s", c.now().Sub(began), got)
		}
		if err := i.Ready(); err != nil {
			t.Fatalf("with keys that are still good: %v", err)
		}
		c.pass(5 * time.Second)
	}
	if n := h.fetches.Load(); n > 361 {
		t.Errorf("%d fetches in an hour", n)
	}
	c.pass(10 * time.Second)
	if got := outcome(t, i, key.token(t, h, c.now(), nil)); got != "unavailable" {
		t.Errorf("after more than an hour: %s", got)
	}
	if f := fault.As(i.Ready()); f == nil || f.Code != "auth_unavailable" {
		t.Errorf("without keys that are good: %v", f)
	}
	h.set(func(h *house) { h.answer = nil })
	h.publish(key, other)
	c.pass(minInterval)
	for _, k := range []signer{key, other} {
		if got := outcome(t, i, k.token(t, h, c.now(), nil)); got != "taken" {
			t.Errorf("when it is back, %s: %s", k.kid, got)
		}
	}
	if err := i.Ready(); err != nil {
		t.Errorf("when it is back: %v", err)
	}
}

func TestNobodyWaitsLongForAProviderThatHangs(t *testing.T) {
	h, c := newHouse(t), newClock()
	key := newEC(t, "k")
	h.publish(key)
	i := open(t, h, c, nil)
	if err := i.Ready(); err != nil {
		t.Errorf("what was not tried yet: %v", err)
	}
	h.set(func(h *house) { h.answer = func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() } })
	began := time.Now()
	if got := outcome(t, i, key.token(t, h, c.now(), nil)); got != "unavailable" || time.Since(began) > 2*time.Second {
		t.Errorf("%s after %v", got, time.Since(began))
	}
}

func TestAFloodOfBadTokensAsksTheProviderSixTimesAMinute(t *testing.T) {
	h, c := newHouse(t), newClock()
	key, thief := newEC(t, "k"), newEC(t, "k")
	h.publish(key)
	i := open(t, h, c, nil)
	accepted := 0
	h.fetches.Store(0)
	for n := range 10_000 {
		c.pass(6 * time.Millisecond)
		s := thief
		if n%2 == 0 {
			s.kid = fmt.Sprint("kid-", n)
		}
		if got := outcome(t, i, s.token(t, h, c.now(), nil)); got == "taken" {
			accepted++
		} else if got != "refused" {
			t.Fatalf("token %d: %s", n, got)
		}
	}
	if n := h.fetches.Load(); n > 6 || accepted != 0 {
		t.Errorf("%d fetches, %d accepted", n, accepted)
	}
	if got := outcome(t, i, key.token(t, h, c.now(), nil)); got != "taken" {
		t.Errorf("the good one in between: %s", got)
	}
}

func TestAKeyThatIsNotThereIsNotAskedForAgain(t *testing.T) {
	h, c := newHouse(t), newClock()
	h.publish(newEC(t, "k"))
	i := open(t, h, c, nil)
	stranger := newEC(t, "stranger")
	for range 5 { // 50 s
		if got := outcome(t, i, stranger.token(t, h, c.now(), nil)); got != "refused" {
			t.Fatal(got)
		}
		c.pass(minInterval)
	}
	if n := h.fetches.Load(); n != 1 {
		t.Errorf("%d fetches", n)
	}
}

func TestOneFetchServesAllWhoWait(t *testing.T) {
	h, c := newHouse(t), newClock()
	key := newEC(t, "k")
	h.publish(key)
	i := open(t, h, c, nil)
	token := key.token(t, h, c.now(), nil)
	var all sync.WaitGroup
	for range 50 {
		all.Go(func() {
			if _, ok, err := i.Authenticate(t.Context(), token); !ok {
				t.Error(err)
			}
		})
	}
	all.Wait()
	if n := h.fetches.Load(); n != 1 {
		t.Errorf("%d fetches", n)
	}
}

func TestKeysMayBeRotatedEverySecond(t *testing.T) {
	h, c := newHouse(t), newClock()
	i := open(t, h, c, nil)
	var keys []signer
	for n := range 40 {
		keys = append(keys, newEC(t, fmt.Sprint("k", n)))
		h.publish(keys[max(0, len(keys)-12):]...) // the last twelve are kept
		if n >= 11 {
			if got := outcome(t, i, keys[n-11].token(t, h, c.now(), nil)); got != "taken" {
				t.Errorf("a key that is ten seconds old, at %d s: %s", n, got)
			}
		}
		c.pass(time.Second)
	}
	if n := h.fetches.Load(); n > 4 {
		t.Errorf("%d fetches in 40 s", n)
	}
}

func TestAKeyThatIsRemovedIsRefusedAfterItsAge(t *testing.T) {
	h, c := newHouse(t), newClock()
	gone, stays := newEC(t, "gone"), newEC(t, "stays")
	h.publish(gone, stays)
	i := open(t, h, c, nil)
	if got := outcome(t, i, gone.token(t, h, c.now(), nil)); got != "taken" {
		t.Fatal(got)
	}
	h.publish(stays)
	c.pass(maxAge)
	if got := outcome(t, i, gone.token(t, h, c.now(), nil)); got != "refused" {
		t.Errorf("the removed key: %s", got)
	}
	if got := outcome(t, i, stays.token(t, h, c.now(), nil)); got != "taken" {
		t.Errorf("the other: %s", got)
	}
}

func TestAProviderThatMisbehavesTakesNeitherMemoryNorTime(t *testing.T) {
	release := make(chan struct{})
	defer close(release)
	for name, answer := range map[string]http.HandlerFunc{
		"503": broken,
		"a body of 10 MB": func(w http.ResponseWriter, _ *http.Request) {
			chunk := []byte(strings.Repeat(" ", 1<<20))
			for range 10 {
				if _, err := w.Write(chunk); err != nil {
					return
				}
			}
		},
		"a hang": func(_ http.ResponseWriter, r *http.Request) {
			select {
			case <-r.Context().Done():
			case <-release:
			}
		},
		"no JSON": func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, "<html>") },
		"no keys": func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, `{"keys":[]}`) },
		"a redirect to http elsewhere": func(w http.ResponseWriter, r *http.Request) {
			http.Redirect(w, r, "http://keys.example/", http.StatusFound)
		},
	} {
		t.Run(name, func(t *testing.T) {
			h, c := newHouse(t), newClock()
			h.set(func(h *house) { h.answer = answer })
			i := open(t, h, c, nil)
			start := time.Now()
			if got := outcome(t, i, newEC(t, "k").token(t, h, c.now(), nil)); got != "unavailable" {
				t.Errorf("got %s", got)
			}
			if took := time.Since(start); took > fetchLimit+time.Second {
				t.Errorf("it took %v", took)
			}
		})
	}
}

func TestThousandsOfKeysOfOneNameAreNotAllTried(t *testing.T) {
	h, c := newHouse(t), newClock()
	key := newRSA(t, "same")
	h.set(func(h *house) {
		for range 3000 {
			h.keys = append(h.keys, key.public())
		}
	})
	h.set(func(h *house) {
		h.keys = append(h.keys, jose.JSONWebKey{Key: newEC(t, "other").private.Public(), KeyID: "other"})
	})
	i := open(t, h, c, nil)
	thief := newRSA(t, "same").token(t, h, c.now(), nil)
	switch got := outcome(t, i, thief); got { // 3,000 RSA keys are more than 1 MiB
	case "unavailable":
	default:
		t.Fatalf("got %s", got)
	}
	h.set(func(h *house) { h.keys = h.keys[:2000] })
	c.pass(minInterval)
	start := time.Now()
	if got := outcome(t, i, thief); got != "refused" {
		t.Fatalf("got %s", got)
	}
	if n := len(i.all[0].keys.keys["same"]); n != maxSameKid {
		t.Errorf("%d keys are kept", n)
	}
	t.Logf("2,000 keys: %v", time.Since(start))
}

func TestDiscoveryNamesTheKeysOfTheIssuerThatWasAsked(t *testing.T) {
	h, c := newHouse(t), newClock()
	key := newEC(t, "k")
	h.publish(key)
	bare := func(i *Issuer) { i.JWKSURL = "" }
	i := open(t, h, c, bare)
	if got := outcome(t, i, key.token(t, h, c.now(), nil)); got != "taken" {
		t.Errorf("its own: %s", got)
	}
	if p := i.Examine(t.Context()); p[0].Err != nil || p[0].Keys != 1 || !p[0].Open {
		t.Errorf("examined: %+v", p)
	}
	h.set(func(h *house) { h.names = "https://another.example" })
	liar := open(t, h, c, bare)
	if got := outcome(t, liar, key.token(t, h, c.now(), nil)); got != "unavailable" {
		t.Errorf("another's: %s", got)
	}
	if p := liar.Examine(t.Context()); p[0].Err == nil || !strings.Contains(p[0].Err.Error(), "another.example") {
		t.Errorf("examined: %+v", p)
	}
}

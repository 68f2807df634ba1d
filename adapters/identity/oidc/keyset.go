package oidc

import (
	"context"
	"errors"
	"sync"
	"time"

	"agentapi/domain/fault"
)

// How long keys are good for. A verified token is remembered for up to 30 s more
// by the server, so that a key that was removed is refused after ten minutes.
const (
	maxAge      = 10*time.Minute - 30*time.Second
	minInterval = 10 * time.Second        // between two fetches, whatever the tokens
	staleLimit  = time.Hour               // that keys are good for while newer cannot be had
	unknownFor  = time.Minute             // that a key which is not there is not asked for again
	maxUnknown  = 1000                    // such keys that are remembered
	waitLimit   = 1500 * time.Millisecond // that a caller waits for a fetch, which goes on
)

// keySet is a provider's keys, as young as they must be. However many tokens
// come, and whatever they say, the provider is asked once per minInterval.
type keySet struct {
	source *source
	shared *shared // with other servers; nil: with none
	now    func() time.Time
	report func(err error) // a fetch that failed, or nil: one went well again

	life   context.Context // of fetches; no caller's, since others wait for the same one
	end    context.CancelFunc
	ending sync.WaitGroup

	mu      sync.Mutex
	keys    map[string][]key
	got     time.Time            // when the keys were fetched
	tried   time.Time            // when the last fetch began
	err     error                // how it ended
	unknown map[string]time.Time // kids that were not there, and when
	running chan struct{}        // closed when the fetch that runs has ended
}

func newKeySet(s *source, now func() time.Time, report func(error)) *keySet {
	k := &keySet{source: s, now: now, report: report, unknown: make(map[string]time.Time)}
	k.life, k.end = context.WithCancel(context.Background())
	return k
}

// close ends a fetch that runs.
func (k *keySet) close() {
	k.end()
	k.ending.Wait()
}

// errUnknownKey: the provider has no such key, as far as is known.
var errUnknownKey = errors.New("the provider has no such key")

// find gives the keys that are called kid: errUnknownKey if the provider has
// none, fault.Unavailable if that cannot be told.
func (k *keySet) find(ctx context.Context, kid string) ([]key, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if found, err, sure := k.look(kid); sure {
		return found, err
	}
	asked, err := k.refresh(ctx)
	if err != nil {
		return nil, err
	}
	if found, err, sure := k.look(kid); sure {
		return found, err
	}
	return k.settle(kid, asked)
}

// look answers from what is there, if that is sure. What a provider that does
// not answer left behind is good while it is stale, and is renewed beside.
func (k *keySet) look(kid string) (found []key, err error, sure bool) {
	now := k.now()
	found = k.keys[kid]
	switch fresh := now.Sub(k.got) < maxAge; {
	case k.keys == nil:
		return nil, nil, false
	case fresh && found != nil:
		return found, nil, true
	case found != nil && k.err != nil && now.Sub(k.got) < staleLimit:
		k.begin()
		return found, nil, true
	case fresh && now.Sub(k.unknown[kid]) < unknownFor:
		return nil, errUnknownKey, true
	default:
		return nil, nil, false
	}
}

// settle answers after the keys were asked for, or could not be again so soon. A
// key that was asked for in vain is not asked for again for a while; one that
// could not be asked for may be a new one.
func (k *keySet) settle(kid string, asked bool) ([]key, error) {
	now := k.now()
	found := k.keys[kid]
	switch {
	case found != nil && now.Sub(k.got) < staleLimit:
		return found, nil
	case k.err != nil || k.keys == nil || now.Sub(k.got) >= maxAge:
		return nil, unavailable(k.err)
	}
	if asked {
		if len(k.unknown) >= maxUnknown {
			clear(k.unknown)
		}
		k.unknown[kid] = now
	}
	return nil, errUnknownKey
}

// refresh waits for a fetch, unless one was made just now; asked tells whether
// there was one.
func (k *keySet) refresh(ctx context.Context) (asked bool, err error) {
	k.begin()
	done := k.running
	if done == nil {
		return false, nil
	}
	k.mu.Unlock()
	defer k.mu.Lock()
	late := time.NewTimer(waitLimit)
	defer late.Stop()
	select {
	case <-done:
		return true, nil
	case <-late.C:
		return true, unavailable(errors.New("the provider has not answered yet"))
	case <-ctx.Done():
		return true, unavailable(ctx.Err())
	}
}

// begin starts a fetch, unless one runs or was begun just now.
func (k *keySet) begin() {
	now := k.now()
	if k.running != nil || k.life.Err() != nil || (!k.tried.IsZero() && now.Sub(k.tried) < minInterval && now.Sub(k.tried) >= 0) {
		return
	}
	done := make(chan struct{})
	k.running, k.tried = done, now
	first := k.keys == nil
	k.ending.Go(func() {
		var (
			keys map[string][]key
			got  time.Time
			err  error
		)
		if first {
			keys, got = k.shared.get(k.life)
		}
		fetched := keys == nil || now.Sub(got) >= maxAge
		if fetched {
			keys, got, err = k.fetch(now, keys, got)
		}
		k.mu.Lock()
		before := k.err
		if k.err = err; keys != nil && !got.Before(k.got) {
			k.keys, k.got = keys, got
		}
		if !fetched {
			k.tried = time.Time{} // the provider may be asked at once for what these lack
		}
		k.running = nil
		close(done)
		k.mu.Unlock()
		if k.life.Err() == nil && (err != nil || before != nil) {
			k.report(err)
		}
	})
}

// fetch asks the provider for its keys. Where it fails, what is kept of them is
// given beside the error.
func (k *keySet) fetch(now time.Time, kept map[string][]key, since time.Time) (map[string][]key, time.Time, error) {
	keys, err := k.source.fetch(k.life)
	if err == nil {
		k.shared.put(k.life, keys, now)
		return keys, now, nil
	}
	if kept == nil {
		kept, since = k.shared.get(k.life)
	}
	return kept, since, err
}

// ready tells whether there are keys that are good.
func (k *keySet) ready() error {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.err == nil || k.keys != nil && k.now().Sub(k.got) < staleLimit {
		return nil
	}
	return unavailable(k.err)
}

func unavailable(cause error) error {
	return fault.New(fault.Unavailable, "Your token cannot be checked now: its issuer gives no keys.").
		WithCode("auth_unavailable").WithRetryAfter(minInterval).WithCause(cause)
}

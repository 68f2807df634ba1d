package completion_test

import (
	"context"
	"reflect"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"agentapi/application/completion"
	"agentapi/domain/chat"
	"agentapi/domain/fault"
	"agentapi/domain/tenancy"
	"agentapi/ports"
)

// lingering is the house of one of two servers that share their storage and their cache.
func lingering(t *testing.T, h *house, instance string, agents ...*scripted) *house {
	t.Helper()
	other := build(t, agents...)
	if h != nil {
		other.storage, other.cache = h.storage, h.cache
	}
	other.Params.Storage, other.Params.Instance, other.Params.Linger = other.storage, instance, 30*time.Second
	other.Params.Tapes = &completion.Tapes{Cache: other.cache, Box: tenancy.Pepper("pepper").Box()}
	rebuild(t, other)
	return other
}

// rebuild has the house go on with its Params as they are now.
func rebuild(t *testing.T, h *house) {
	t.Helper()
	if err := h.Stop(t.Context()); err != nil {
		t.Error(err)
	}
	h.Service = completion.New(h.Params)
	if err := h.Start(t.Context()); err != nil {
		t.Error(err)
	}
}

// begins asks for the keyed stream, again or for the first time.
func begins(t *testing.T, ctx context.Context, h *house, resume string) (*completion.Reply, error) {
	t.Helper()
	cmd := keyed(h.stream("hi"))
	cmd.Resume = resume
	return h.Begin(ctx, cmd)
}

var letters = []chat.Event{text("a"), text("b"), text("c"), text("d"), stopped, used, finished}

func TestAStreamRunsOnForWhoComesBack(t *testing.T) {
	for name, away := range map[string]time.Duration{"while it runs": time.Second, "when it is complete": 20 * time.Second} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				a, _ := slowly(letters...)
				h := lingering(t, nil, "here", a)
				ctx, leave := context.WithCancel(t.Context())
				r, err := begins(t, ctx, h, "")
				if err != nil {
					t.Fatal(err)
				}
				had := listen(t, r, 2)
				leave()
				r.Close()
				time.Sleep(away)
				again, err := begins(t, t.Context(), h, r.ID)
				if err != nil {
					t.Fatal(err)
				}
				defer again.Close()
				got := listen(t, again, all)
				if len(got) != len(letters) || !reflect.DeepEqual(got[:2], had) || again.ID != r.ID || a.runs.Load() != 1 {
					t.Errorf("had %+v, got %+v of %s and %s", had, got, r.ID, again.ID)
				}
			})
		})
	}
}

func TestAStreamEndsWhenNobodyComesBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		quiet := make([]chat.Event, 60)
		for i := range quiet {
			quiet[i] = text("a")
		}
		a, ended := slowly(append(quiet, stopped, finished)...)
		h := lingering(t, nil, "here", a)
		ctx, leave := context.WithCancel(t.Context())
		r, err := begins(t, ctx, h, "")
		if err != nil {
			t.Fatal(err)
		}
		leave()
		r.Close()
		left := time.Now()
		time.Sleep(time.Minute)
		synctest.Wait()
		if took := ended.Sub(left); took != 30*time.Second {
			t.Errorf("the agent ended %v after the last client", took)
		}
		if _, err := begins(t, t.Context(), h, r.ID); !fault.Is(err, fault.Gone) || fault.As(err).Code != "stream_expired" || a.runs.Load() != 1 {
			t.Errorf("resumed after its time: %v", err)
		}
		anew, err := begins(t, t.Context(), h, "")
		if err != nil || anew.ID == r.ID || anew.Replayed {
			t.Fatalf("the key is not given back: %+v, %v", anew, err)
		}
		if _, err := begins(t, t.Context(), h, r.ID); !fault.Is(err, fault.Gone) {
			t.Errorf("another answer runs under the key, and is given as the first: %v", err)
		}
		anew.Close()
	})
}

func TestAStreamWithoutTheClientsKeyEndsWithIt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a, ended := slowly(letters...)
		h := lingering(t, nil, "here", a)
		ctx, leave := context.WithCancel(t.Context())
		r, err := h.Begin(ctx, h.stream("hi"))
		if err != nil {
			t.Fatal(err)
		}
		leave()
		r.Close()
		synctest.Wait()
		if ended.IsZero() || time.Since(*ended) > 0 {
			t.Error("the agent runs on")
		}
	})
}

func TestAStreamGoesOnOnAnotherServer(t *testing.T) {
	for name, stays := range map[string]bool{"the first client has left": false, "the first client stands still": true} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				a, _ := slowly(letters...)
				b, _ := slowly(letters...)
				here := lingering(t, nil, "here", a)
				there := lingering(t, here, "there", b)
				ctx, leave := context.WithCancel(t.Context())
				defer leave()
				r, err := begins(t, ctx, here, "")
				if err != nil {
					t.Fatal(err)
				}
				had := listen(t, r, 2)
				if !stays {
					leave()
					r.Close()
				} else {
					defer r.Close()
				}
				time.Sleep(500 * time.Millisecond)
				again, err := begins(t, t.Context(), there, r.ID)
				if err != nil {
					t.Fatal(err)
				}
				defer again.Close()
				began := time.Now()
				got := listen(t, again, all)
				if len(got) != len(letters) || !reflect.DeepEqual(got[:2], had) || again.ID != r.ID || again.Session != r.Session || !again.Replayed || b.runs.Load() != 0 {
					t.Errorf("had %+v, got %+v of %+v", had, got, again.Head)
				}
				if took := time.Since(began); took > 10*time.Second {
					t.Errorf("it took %v", took)
				}
			})
		})
	}
}

func TestWhoListensOnAnotherServerKeepsTheStream(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		long := make([]chat.Event, 90) // longer than a stream runs on for nobody
		for i := range long {
			long[i] = text("a")
		}
		long = append(long, stopped, used, finished)
		a, ended := slowly(long...)
		here := lingering(t, nil, "here", a)
		there := lingering(t, here, "there", says())
		first, leave := context.WithCancel(t.Context())
		r, err := begins(t, first, here, "")
		if err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Second)
		second, depart := context.WithCancel(t.Context())
		again, err := begins(t, second, there, "")
		if err != nil {
			t.Fatal(err)
		}
		leave()
		r.Close()
		if got := listen(t, again, 80); len(got) != 80 {
			t.Errorf("got %d", len(got))
		}
		depart()
		if _, err, _ := again.Next(); !fault.Is(err, fault.Canceled) {
			t.Errorf("who has left is told %v", err)
		}
		again.Close()
		time.Sleep(time.Minute)
		synctest.Wait()
		if ended.IsZero() {
			t.Error("the agent runs on")
		}
		late, err := begins(t, t.Context(), there, r.ID)
		if err != nil || len(listen(t, late, all)) != len(long) {
			t.Errorf("afterwards: %v", err)
		}
		late.Close()
	})
}

// deaf is a cache that loses what is said of it.
type deaf struct {
	ports.Cache
	dead *atomic.Bool
}

func (d deaf) Set(ctx context.Context, key string, val []byte, ttl time.Duration) error {
	if d.dead.Load() {
		return fault.New(fault.Unavailable, "The cache is away.")
	}
	return d.Cache.Set(ctx, key, val, ttl)
}

func (d deaf) Delete(ctx context.Context, keys ...string) error {
	if d.dead.Load() {
		return fault.New(fault.Unavailable, "The cache is away.")
	}
	return d.Cache.Delete(ctx, keys...)
}

func TestAStreamWhoseServerIsGoneSaysSo(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		quiet := make([]chat.Event, 40)
		for i := range quiet {
			quiet[i] = text("a")
		}
		a, _ := slowly(quiet...)
		here := lingering(t, nil, "here", a)
		there := lingering(t, here, "there", says())
		var dead atomic.Bool
		here.Params.Tapes = &completion.Tapes{Cache: deaf{here.cache, &dead}, Box: tenancy.Pepper("pepper").Box()}
		rebuild(t, here)
		r, err := begins(t, t.Context(), here, "")
		if err != nil {
			t.Fatal(err)
		}
		defer r.Close()
		time.Sleep(time.Second)
		again, err := begins(t, t.Context(), there, "")
		if err != nil {
			t.Fatal(err)
		}
		defer again.Close()
		listen(t, again, 3)
		dead.Store(true) // as a server that is killed: it says no more, and cleans up nothing
		began := time.Now()
		for err == nil {
			_, err, _ = again.Next()
		}
		if !fault.Is(err, fault.Unavailable) || fault.As(err).Code != "stream_lost" || time.Since(began) > 12*time.Second {
			t.Errorf("after %v: %v", time.Since(began), err)
		}
		if _, err, ok := again.Next(); err != nil || ok {
			t.Errorf("afterwards: %v, %v", err, ok)
		}
	})
}

// A server dies in the middle of a stream; under the same key another answer is begun.
func TestATapeHasNothingOfAnEarlierAnswer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		old, _ := slowly(text("old"), text("old"), text("old"), text("old"), text("old"), stopped, finished)
		a, _ := slowly(letters...)
		dying := lingering(t, nil, "dying", old)
		here := lingering(t, dying, "here", a)
		there := lingering(t, here, "there", says())
		var dead atomic.Bool
		dying.Params.Tapes = &completion.Tapes{Cache: deaf{dying.cache, &dead}, Box: tenancy.Pepper("pepper").Box()}
		rebuild(t, dying)
		ctx, die := context.WithCancel(t.Context())
		r, err := begins(t, ctx, dying, "")
		if err != nil {
			t.Fatal(err)
		}
		listen(t, r, 4)
		time.Sleep(time.Second)
		dead.Store(true)
		die()
		r.Close()
		if err := dying.Stop(t.Context()); err != nil { // its key is free again
			t.Fatal(err)
		}
		next, err := begins(t, t.Context(), here, "")
		if err != nil {
			t.Fatal(err)
		}
		defer next.Close()
		time.Sleep(500 * time.Millisecond)
		again, err := begins(t, t.Context(), there, "")
		if err != nil {
			t.Fatal(err)
		}
		defer again.Close()
		for _, e := range listen(t, again, all) {
			if e.Text == "old" {
				t.Error("the new answer has a piece of the old one")
			}
		}
	})
}

func TestATapeIsReadByItsServersOnly(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a, _ := slowly(letters...)
		here := lingering(t, nil, "here", a)
		there := lingering(t, here, "there", says())
		there.Params.Tapes = &completion.Tapes{Cache: here.cache, Box: tenancy.Pepper("another").Box()}
		rebuild(t, there)
		r, err := begins(t, t.Context(), here, "")
		if err != nil {
			t.Fatal(err)
		}
		defer r.Close()
		time.Sleep(time.Second)
		if _, err := begins(t, t.Context(), there, ""); !fault.Is(err, fault.Conflict) {
			t.Errorf("got %v", err)
		}
	})
}

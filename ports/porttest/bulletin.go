package porttest

import (
	"context"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"agentapi/ports"
)

// Bulletin tests the contract of ports.Bulletin. open gives what two servers have of
// one that nobody has used.
func Bulletin(t *testing.T, open func(t *testing.T) (one, other ports.Bulletin)) {
	for name, test := range map[string]func(t *testing.T, one, other ports.Bulletin){
		"all who follow a topic hear of it, and of no other": bulletinTopics,
		"the last publication is never missed":               bulletinLast,
		"nothing is heard after the end":                     bulletinEnds,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			one, other := open(t)
			test(t, one, other)
		})
	}
}

// soon waits until something holds, as long as a bulletin may take.
func soon(t *testing.T, what string, holds func() bool) {
	t.Helper()
	look := time.NewTicker(time.Millisecond)
	defer look.Stop()
	for until := time.Now().Add(time.Second + late); !holds(); <-look.C {
		if time.Now().After(until) {
			t.Errorf("%s: not within a second", what)
			return
		}
	}
}

// late is by how much a machine with much to do may be late.
const late = 2 * time.Second

// follow follows until the test or ctx ends.
func follow(ctx context.Context, t *testing.T, b ports.Bulletin, heard map[string]func()) (ended <-chan struct{}) {
	ctx, cancel := context.WithCancel(ctx)
	done := make(chan struct{})
	go func() {
		defer close(done)
		b.Follow(ctx, heard)
	}()
	t.Cleanup(func() {
		cancel()
		<-done
	})
	return done
}

func bulletinTopics(t *testing.T, one, other ports.Bulletin) {
	var a, b [2]atomic.Int32
	for i, follower := range []ports.Bulletin{one, other} {
		follow(t.Context(), t, follower, map[string]func(){"a": func() { a[i].Add(1) }, "b": func() { b[i].Add(1) }})
	}
	soon(t, "the start", func() bool { return min(a[0].Load(), a[1].Load(), b[0].Load(), b[1].Load()) > 0 })
	var before [2]int32
	for round := range 4 { // what the start has heard twice is over after some of them
		before = [2]int32{b[0].Load(), b[1].Load()}
		at := [2]int32{a[0].Load(), a[1].Load()}
		[]ports.Bulletin{one, other}[round%2].Publish(t.Context(), "a")
		other.Publish(t.Context(), "nobody's")
		soon(t, "a publication", func() bool { return a[0].Load() > at[0] && a[1].Load() > at[1] })
	}
	if b[0].Load() != before[0] || b[1].Load() != before[1] {
		t.Error("a topic was heard that was not published")
	}
}

func bulletinLast(t *testing.T, one, other ports.Bulletin) {
	var state, here, there atomic.Int64
	follow(t.Context(), t, one, map[string]func(){"a": func() { here.Store(state.Load()) }})
	follow(t.Context(), t, other, map[string]func(){"a": func() { there.Store(state.Load()) }})
	for range 3 {
		var all sync.WaitGroup
		for i := range 32 {
			all.Go(func() {
				state.Add(1)
				[]ports.Bulletin{one, other}[i%2].Publish(t.Context(), "a")
			})
		}
		all.Wait()
		last := state.Load()
		soon(t, "the last publication", func() bool { return here.Load() == last && there.Load() == last })
	}
}

func bulletinEnds(t *testing.T, one, other ports.Bulletin) {
	ctx, cancel := context.WithCancel(t.Context())
	var heard atomic.Int32
	ended := follow(ctx, t, one, map[string]func(){"a": func() { heard.Add(1) }})
	soon(t, "the start", func() bool { return heard.Load() > 0 })
	cancel()
	<-ended
	at := heard.Load()
	other.Publish(t.Context(), "a") // which nobody follows
	if heard.Load() != at {
		t.Error("it was heard after the end")
	}
}

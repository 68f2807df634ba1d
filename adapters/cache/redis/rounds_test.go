package redis

import (
	"context"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"agentapi/domain/fault"
	"agentapi/domain/quota"
	server "agentapi/test/redis"
)

// spend is a claim on one account.
func spend(id, key string, limit int64) quota.Claim {
	return quota.Claim{ID: id, Lease: time.Minute, Rates: []quota.Charge{{Key: key, Rate: quota.Rate{Limit: limit, Per: 24 * time.Hour}, N: 1}}}
}

func TestClaimsThatComeTogetherShareExchangesAndAreDecidedOneByOne(t *testing.T) {
	t.Parallel()
	const all, most = 300, 100
	var exchanges, granted atomic.Int64
	l := NewLimiter(connect(t, server.Shared(t)))
	steady := l.steady
	l.steady = func() time.Duration { exchanges.Add(1); return steady() }
	var asked sync.WaitGroup
	for i := range all {
		asked.Go(func() {
			d, err := l.Take(t.Context(), spend(strconv.Itoa(i), "a", most))
			if err != nil {
				t.Error(err)
			}
			if d.Granted() {
				granted.Add(1)
			}
		})
	}
	asked.Wait()
	if granted.Load() != most || exchanges.Load() >= all {
		t.Errorf("%d are granted, of which there is room for %d, in %d exchanges", granted.Load(), most, exchanges.Load())
	}
}

func TestNobodyWaitsLongForTheAnswerToThoseBefore(t *testing.T) {
	t.Parallel()
	l := NewLimiter(connect(t, server.Shared(t)))
	steady, hangs, first := l.steady, make(chan struct{}), make(chan struct{}, 1)
	first <- struct{}{}
	began := make(chan struct{})
	l.steady = func() time.Duration {
		select {
		case <-first:
			close(began)
			<-hangs
		default:
		}
		return steady()
	}
	ended := make(chan error, 1)
	go func() {
		_, err := l.Take(t.Context(), spend("1", "a", 9))
		ended <- err
	}()
	<-began
	if d, err := l.Take(t.Context(), spend("2", "a", 9)); err != nil || !d.Granted() {
		t.Error(d, err)
	}
	close(hangs)
	<-ended // whether or not it was in time
}

func TestWhatIsWrongWithOneClaimDoesNotConcernTheOthers(t *testing.T) {
	t.Parallel()
	l := NewLimiter(connect(t, server.Shared(t)))
	if d, err := l.Take(t.Context(), spend("1", "a", 9)); err != nil || !d.Granted() { // which connects
		t.Fatal(d, err)
	}
	if err := l.conn.Do(t.Context(), l.conn.B().Set().Key(l.place("broken")).Value("no set").Build()).Error(); err != nil {
		t.Fatal(err)
	}
	well := &asking{Claim: spend("2", "a", 9), takes: true, ctx: t.Context()}
	ill := &asking{Claim: quota.Claim{ID: "3", Lease: time.Minute, Places: []quota.Places{{Key: "broken", Most: 1}}}, takes: true, ctx: t.Context()}
	r, _ := l.queue.join(ill)
	l.queue.join(well)
	l.send(t.Context(), r)
	if r.err != nil || !fault.Is(ill.err, fault.Unavailable) || well.err != nil {
		t.Errorf("all: %v, the one: %v, the other: %v", r.err, ill.err, well.err)
	}
	if left := well.decision.Levels[0].Remaining; !well.decision.Granted() || left != 7 {
		t.Errorf("%d remain: %+v", left, well.decision)
	}
}

func TestWhoHasLeftTakesNothing(t *testing.T) {
	t.Parallel()
	l := NewLimiter(connect(t, server.Shared(t)))
	gone, leave := context.WithCancel(t.Context())
	leave()
	r, _ := l.queue.join(&asking{Claim: spend("1", "a", 9), takes: true, ctx: gone})
	l.queue.join(&asking{Claim: spend("2", "b", 9), takes: true, ctx: t.Context()})
	l.send(gone, r) // who leads goes on for the others
	if r.err != nil {
		t.Fatal(r.err)
	}
	for key, want := range map[string]int64{"a": 8, "b": 7} {
		if d, err := l.Take(t.Context(), spend("3", key, 9)); err != nil || d.Levels[0].Remaining != want {
			t.Errorf("%s: %+v, %v, want %d", key, d, err, want)
		}
	}
}

func TestWhoHasLeftIsToldThatRedisWasNotAsked(t *testing.T) {
	t.Parallel()
	l := NewLimiter(connect(t, server.Shared(t)))
	gone, leave := context.WithCancel(t.Context())
	leave()
	for _, takes := range []bool{true, false} {
		a := &asking{Claim: spend("1", "a", 9), takes: takes, ctx: gone}
		r, _ := l.queue.join(a)
		l.send(gone, r)
		if r.err != nil || !fault.Is(a.err, fault.Canceled) {
			t.Errorf("takes %v: all: %v, the one: %v", takes, r.err, a.err)
		}
	}
}

func TestWhatIsAskedAgainIsNotInItsOwnWay(t *testing.T) {
	t.Parallel()
	l := NewLimiter(connect(t, server.Shared(t)))
	at := func(id, key string, takes bool) *asking {
		return &asking{Claim: quota.Claim{ID: id, Lease: time.Minute, Places: []quota.Places{{Key: key, Most: 1}}}, takes: takes, ctx: t.Context()}
	}
	if _, err := l.Take(t.Context(), spend("1", "a", 9)); err != nil { // which connects
		t.Fatal(err)
	}
	if err := l.conn.Do(t.Context(), l.conn.B().Set().Key(l.place("broken")).Value("no set").Build()).Error(); err != nil {
		t.Fatal(err)
	}
	for i, takes := range []bool{true, false} {
		well := at("2", "whole"+strconv.Itoa(i), true)
		r, _ := l.queue.join(well)
		l.queue.join(at("3", "broken", takes))
		l.send(t.Context(), r)
		if r.err != nil || well.err != nil || !well.decision.Granted() {
			t.Errorf("takes %v: all: %v, the one: %v, %+v", takes, r.err, well.err, well.decision)
		}
	}
}

func TestNoMoreClaimsGoTogetherThanRedisHasTimeFor(t *testing.T) {
	t.Parallel()
	q, rounds := new(queue), 0
	for range 2*mostClaims + 1 {
		if _, leads := q.join(new(asking)); leads {
			rounds++
		}
	}
	if rounds != 3 {
		t.Errorf("they are %d rounds", rounds)
	}
}

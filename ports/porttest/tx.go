package porttest

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"agentapi/domain/fault"
	"agentapi/domain/session"
	"agentapi/domain/tenancy"
	"agentapi/domain/usage"
	"agentapi/ports"
)

// scene is what a failing transaction changes, and what must be left of it.
type scene struct {
	in               tenancy.Scope
	old, gone, fresh *session.Session // that is changed, deleted, created
}

func newScene(t *testing.T, s ports.Storage) scene {
	t.Helper()
	in := someone(t, "a", "ann")
	c := scene{in: in, old: create(t, s, in, "key"), gone: create(t, s, in, "gone"), fresh: newSession(in, "fresh")}
	must(t, s.Sessions().Append(t.Context(), in, c.gone.ID, 0, newTurn("kept")))
	for _, key := range []string{"completed", "released"} {
		_, err := s.Idempotency().Claim(t.Context(), in, claim(key, 1, "o", start))
		must(t, err)
	}
	return c
}

// change does something of each sort. It returns its errors: a transaction may
// run on a goroutine that the test cannot end.
func (c scene) change(ctx context.Context, tx ports.Repositories) error {
	keys := tx.Idempotency()
	_, claimed := keys.Claim(ctx, c.in, claim("claimed", 1, "o", start))
	err := errors.Join(
		tx.Sessions().Create(ctx, c.in, c.fresh),
		tx.Sessions().Append(ctx, c.in, c.fresh.ID, 0, newTurn("x")),
		tx.Sessions().Append(ctx, c.in, c.old.ID, 0, newTurn("x")),
		tx.Sessions().Update(ctx, c.in, c.old.ID, func(s *session.Session) error {
			s.Title, s.Key = "changed", session.Key{}
			return nil
		}),
		tx.Sessions().Delete(ctx, c.in, c.gone.ID),
		tx.Usage().Record(ctx, c.in, newRecord(5, 5)),
		claimed,
		keys.Complete(ctx, c.in, claim("completed", 1, "o", start), result(start)),
		keys.Release(ctx, c.in, claim("released", 1, "o", start)),
	)
	if got, readErr := tx.Sessions().Get(ctx, c.in, c.fresh.ID); readErr != nil || got.Turns != 1 {
		return errors.Join(err, fmt.Errorf("a transaction does not see what it did: %w", readErr))
	}
	return err
}

func (c scene) unchanged(t *testing.T, s ports.Storage) {
	t.Helper()
	got, err := s.Sessions().Get(t.Context(), c.in, c.old.ID)
	must(t, err)
	same(t, got, c.old)
	for _, v := range []*session.Session{c.old, c.gone} {
		if got, err := s.Sessions().ByKey(t.Context(), c.in, v.Key); err != nil || got.ID != v.ID {
			t.Errorf("the key is lost: %v", err)
		}
	}
	turns, err := s.Sessions().History(t.Context(), c.in, c.gone.ID)
	must(t, err)
	if len(turns) != 1 || turns[0].Message.Text() != "kept" {
		t.Errorf("the deleted session's turns are %+v", turns)
	}
	_, err = s.Sessions().Get(t.Context(), c.in, c.fresh.ID)
	is(t, err, fault.NotFound, "")
	sum, err := s.Usage().Totals(t.Context(), c.in)
	must(t, err)
	same(t, sum, usage.Totals{})
	if out, err := s.Idempotency().Claim(t.Context(), c.in, claim("claimed", 2, "p", start)); err != nil || !out.Claimed {
		t.Errorf("the key is claimed: %v", err)
	}
	for _, key := range []string{"completed", "released"} {
		_, err := s.Idempotency().Claim(t.Context(), c.in, claim(key, 1, "p", start))
		is(t, err, fault.Conflict, "idempotency_in_progress")
	}
}

func rollback(t *testing.T, s ports.Storage) {
	c, mine := newScene(t, s), errors.New("mine")
	err := s.Atomically(t.Context(), func(ctx context.Context, tx ports.Repositories) error {
		if err := c.change(ctx, tx); err != nil {
			return err
		}
		return mine
	})
	if err != mine {
		t.Errorf("the function's error comes back as %v", err)
	}
	c.unchanged(t, s)
	must(t, s.Atomically(t.Context(), func(ctx context.Context, tx ports.Repositories) error {
		return tx.Sessions().Create(ctx, c.in, c.fresh)
	}))
	if _, err := s.Sessions().Get(t.Context(), c.in, c.fresh.ID); err != nil {
		t.Errorf("what a transaction did is lost: %v", err)
	}
}

func panics(t *testing.T, s ports.Storage) {
	c := newScene(t, s)
	func() {
		defer func() { _ = recover() }()
		err := s.Atomically(t.Context(), func(ctx context.Context, tx ports.Repositories) error {
			if err := c.change(ctx, tx); err != nil {
				return err
			}
			panic("in a transaction")
		})
		is(t, err, fault.Internal, "")
	}()
	c.unchanged(t, s)
}

func nested(t *testing.T, s ports.Storage) {
	// A storage that waits for itself says Timeout here rather than hang.
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	in := someone(t, "a", "ann")
	v := create(t, s, in, "key")
	must(t, s.Atomically(ctx, func(ctx context.Context, _ ports.Repositories) error {
		for name, ask := range asks(t, in, v) {
			if err := ask(ctx, s); !fault.Is(err, fault.Internal) {
				t.Errorf("%s: got %v", name, err)
			}
		}
		_, err := s.Idempotency().Prune(ctx, start)
		is(t, err, fault.Internal, "")
		is(t, s.Atomically(ctx, func(context.Context, ports.Repositories) error { return nil }), fault.Internal, "")
		return nil
	}))
	got, err := s.Sessions().Get(t.Context(), in, v.ID)
	must(t, err)
	same(t, got, v)
}

func gapless(t *testing.T, s ports.Storage) {
	in := someone(t, "a", "ann")
	v := create(t, s, in, "")
	const writers, each = 16, 10
	add := func() error {
		for {
			now, err := s.Sessions().Get(t.Context(), in, v.ID)
			if err != nil {
				return err
			}
			if err = s.Sessions().Append(t.Context(), in, v.ID, now.Turns, newTurn("x")); !fault.Is(err, fault.Conflict) {
				return err
			}
		}
	}
	var all sync.WaitGroup
	for range writers {
		all.Go(func() {
			for range each {
				if err := add(); err != nil {
					t.Error(err)
				}
			}
		})
	}
	all.Wait()
	turns, err := s.Sessions().History(t.Context(), in, v.ID)
	must(t, err)
	if len(turns) != writers*each {
		t.Errorf("there are %d turns", len(turns))
	}
	for i, turn := range turns {
		if turn.Seq != i+1 {
			t.Fatalf("turn %d has the number %d", i, turn.Seq)
		}
	}
}

func noLostUpdate(t *testing.T, s ports.Storage) {
	in := someone(t, "a", "ann")
	v := create(t, s, in, "")
	before := len(v.Title)
	const writers, each = 16, 10
	var all sync.WaitGroup
	for range writers {
		all.Go(func() {
			for range each {
				err := s.Sessions().Update(t.Context(), in, v.ID, func(c *session.Session) error {
					c.Title += "x"
					return nil
				})
				if err != nil {
					t.Error(err)
				}
			}
		})
	}
	all.Wait()
	got, err := s.Sessions().Get(t.Context(), in, v.ID)
	must(t, err)
	if n := len(got.Title) - before; n != writers*each {
		t.Errorf("%d updates are there", n)
	}
}

func isolated(t *testing.T, s ports.Storage) {
	in := someone(t, "a", "ann")
	a, b := create(t, s, in, ""), create(t, s, in, "")
	const writers, each = 8, 20
	both := func(ctx context.Context, tx ports.Repositories) error {
		now, err := tx.Sessions().Get(ctx, in, a.ID)
		if err != nil {
			return err
		}
		if err := tx.Sessions().Append(ctx, in, a.ID, now.Turns, newTurn("x")); err != nil {
			return err
		}
		return tx.Sessions().Append(ctx, in, b.ID, now.Turns, newTurn("x"))
	}
	var all sync.WaitGroup
	for range writers {
		all.Go(func() {
			for range each {
				if err := s.Atomically(t.Context(), both); err != nil {
					t.Error(err)
				}
			}
		})
	}
	all.Wait()
	for _, v := range []*session.Session{a, b} {
		got, err := s.Sessions().Get(t.Context(), in, v.ID)
		must(t, err)
		if got.Turns != writers*each {
			t.Errorf("there are %d turns", got.Turns)
		}
	}
}

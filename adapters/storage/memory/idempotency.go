package memory

import (
	"context"
	"slices"
	"time"

	"agentapi/domain/fault"
	"agentapi/domain/idempotency"
	"agentapi/domain/tenancy"
)

// keyring holds the entries of keyed requests, the oldest first.
type keyring struct {
	max     int
	entries map[keyIn]*idempotency.Entry
	order   []keyIn // by claim; may name what is gone
}

type keyIn struct {
	owner
	key idempotency.Key
}

func newKeyring(max int) keyring {
	return keyring{max: max, entries: make(map[keyIn]*idempotency.Entry)}
}

type idempotencies struct {
	s *Store
	locker
}

func at(in tenancy.Scope, k idempotency.Key) keyIn { return keyIn{owner{in.Org(), in.User()}, k} }

// set stores e, or removes the entry where e is nil, and can be undone.
func (c idempotencies) set(k keyIn, e *idempotency.Entry) {
	r := &c.s.keys
	old := r.entries[k]
	put := func(e *idempotency.Entry) {
		if e == nil {
			delete(r.entries, k)
			return
		}
		r.entries[k] = e
	}
	put(e)
	c.s.onUndo(func() { put(old) })
}

// Claim reserves the key, or returns what an earlier request left.
func (c idempotencies) Claim(ctx context.Context, in tenancy.Scope, claim idempotency.Claim) (idempotency.Outcome, error) {
	leave, err := c.enter(ctx)
	if err != nil {
		return idempotency.Outcome{}, err
	}
	defer leave()
	if in.IsZero() {
		return idempotency.Outcome{}, forbidden()
	}
	k := at(in, claim.Key)
	out, err := idempotency.Meet(c.s.keys.entries[k], claim)
	if err != nil {
		return out, err
	}
	if out.Replay != nil {
		copied := *out.Replay
		copied.Events = slices.Clone(copied.Events)
		out.Replay = &copied
		return out, nil
	}
	c.s.keys.forget()
	c.set(k, &idempotency.Entry{Claim: claim})
	c.s.keys.order = append(c.s.keys.order, k)
	return out, nil
}

// forget makes room: the oldest entries go.
func (r *keyring) forget() {
	for len(r.order) >= r.max {
		delete(r.entries, r.order[0])
		r.order = r.order[1:]
	}
}

func forbidden() error {
	return fault.New(fault.Forbidden, "An idempotency key belongs to a user.")
}

// mine finds the running entry that c claimed.
func (c idempotencies) mine(in tenancy.Scope, claim idempotency.Claim) *idempotency.Entry {
	e := c.s.keys.entries[at(in, claim.Key)]
	if e == nil || e.Done || e.Owner != claim.Owner || !e.At.Equal(claim.At) {
		return nil
	}
	return e
}

// Complete stores the result under the claimed key.
func (c idempotencies) Complete(ctx context.Context, in tenancy.Scope, claim idempotency.Claim, r idempotency.Result) error {
	leave, err := c.enter(ctx)
	if err != nil {
		return err
	}
	defer leave()
	if in.IsZero() {
		return forbidden()
	}
	if c.mine(in, claim) == nil {
		return fault.New(fault.Conflict, "The idempotency key has passed to another request.")
	}
	c.set(at(in, claim.Key), &idempotency.Entry{Claim: claim, Done: true, Result: r})
	return nil
}

// Release gives the key back.
func (c idempotencies) Release(ctx context.Context, in tenancy.Scope, claim idempotency.Claim) error {
	leave, err := c.enter(ctx)
	if err != nil {
		return err
	}
	defer leave()
	if in.IsZero() {
		return forbidden()
	}
	if c.mine(in, claim) != nil {
		c.set(at(in, claim.Key), nil)
	}
	return nil
}

// Prune forgets what was completed before the moment.
func (c idempotencies) Prune(ctx context.Context, before time.Time) (n int, err error) {
	leave, err := c.enter(ctx)
	if err != nil {
		return 0, err
	}
	defer leave()
	for k, e := range c.s.keys.entries {
		if e.Done && e.Result.Completed.Before(before) {
			c.set(k, nil)
			n++
		}
	}
	return n, nil
}

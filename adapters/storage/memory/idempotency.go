package memory

import (
	"bytes"
	"context"
	"slices"
	"time"

	"agentapi/domain/chat"
	"agentapi/domain/fault"
	"agentapi/domain/idempotency"
	"agentapi/domain/tenancy"
)

// keyring holds the entries of keyed requests. Running ones are as many as
// requests run; of the others the oldest are forgotten beyond the bounds.
type keyring struct {
	max, maxBytes int
	entries       map[keyIn]*entry
	done          []doneAt // by completion; may name what is gone
	bytes         int      // what all results hold, roughly
}

type keyIn struct {
	owner
	key idempotency.Key
}

// entry is never changed, but replaced.
type entry struct {
	idempotency.Entry
	bytes int
}

type doneAt struct {
	key   keyIn
	entry *entry
}

func newKeyring(max, maxBytes int) keyring {
	return keyring{max: max, maxBytes: maxBytes, entries: make(map[keyIn]*entry)}
}

// put stores e, or removes the entry where e is nil.
func (r *keyring) put(k keyIn, e *entry) {
	if old := r.entries[k]; old != nil {
		r.bytes -= old.bytes
	}
	if e == nil {
		delete(r.entries, k)
		return
	}
	r.entries[k] = e
	r.bytes += e.bytes
}

// evict forgets the oldest results beyond the bounds, but not the last.
func (r *keyring) evict() {
	for (len(r.done) > r.max || r.bytes > r.maxBytes) && len(r.done) > 1 {
		oldest := r.done[0]
		r.done[0] = doneAt{}
		r.done = r.done[1:]
		if r.entries[oldest.key] == oldest.entry {
			r.put(oldest.key, nil)
		}
	}
}

// sizeOfResult is roughly what a result holds in memory.
func sizeOfResult(r *idempotency.Result) int {
	const (
		own   = 1024 // the entry itself
		event = 128
	)
	n := own + len(r.Events)*event
	for i := range r.Events {
		e := &r.Events[i]
		n += len(e.Text) + len(e.Native)
		if e.Call != nil {
			n += len(e.Call.Arguments)
		}
	}
	return n
}

type idempotencies struct {
	s *Store
	locker
}

func at(in tenancy.Scope, k idempotency.Key) keyIn { return keyIn{owner{in.Org(), in.User()}, k} }

// set does what put does, and can be undone.
func (c idempotencies) set(k keyIn, e *entry) {
	old := c.s.keys.entries[k]
	c.s.keys.put(k, e)
	c.s.onUndo(func() { c.s.keys.put(k, old) })
}

// enterAs enters for a user.
func (c idempotencies) enterAs(ctx context.Context, in tenancy.Scope) (func(), error) {
	leave, err := c.enter(ctx)
	if err != nil {
		return nil, err
	}
	if in.IsZero() {
		leave()
		return nil, forbidden()
	}
	return leave, nil
}

// Claim reserves the key, or returns what an earlier request left.
func (c idempotencies) Claim(ctx context.Context, in tenancy.Scope, claim idempotency.Claim) (idempotency.Outcome, error) {
	leave, err := c.enterAs(ctx, in)
	if err != nil {
		return idempotency.Outcome{}, err
	}
	defer leave()
	k := at(in, claim.Key)
	var stored *idempotency.Entry
	if e := c.s.keys.entries[k]; e != nil {
		stored = &e.Entry
	}
	out, err := idempotency.Meet(stored, claim)
	switch {
	case err != nil:
		return out, err
	case out.Replay != nil:
		return idempotency.Outcome{Replay: copyOf(out.Replay)}, nil
	}
	c.set(k, &entry{Entry: idempotency.Entry{Claim: claim}})
	return out, nil
}

// copyOf clones a result with all that a receiver could change in it.
func copyOf(r *idempotency.Result) *idempotency.Result {
	out := *r
	out.Ignored, out.Events = slices.Clone(r.Ignored), slices.Clone(r.Events)
	for i := range out.Events {
		e := &out.Events[i]
		e.Native, e.Call, e.Usage = bytes.Clone(e.Native), clone(e.Call), clone(e.Usage)
	}
	out.Failure = clone(r.Failure)
	return &out
}

func clone[T chat.CallDelta | chat.Usage | fault.Error](p *T) *T {
	if p == nil {
		return nil
	}
	v := *p
	return &v
}

// mine finds the running entry that c claimed.
func (c idempotencies) mine(in tenancy.Scope, claim idempotency.Claim) *entry {
	e := c.s.keys.entries[at(in, claim.Key)]
	if e == nil || e.Done || e.Owner != claim.Owner || !e.At.Equal(claim.At) {
		return nil
	}
	return e
}

// Complete stores the result under the claimed key.
func (c idempotencies) Complete(ctx context.Context, in tenancy.Scope, claim idempotency.Claim, r idempotency.Result) error {
	leave, err := c.enterAs(ctx, in)
	if err != nil {
		return err
	}
	defer leave()
	if c.mine(in, claim) == nil {
		return fault.New(fault.Conflict, "The idempotency key has passed to another request.").WithCode(idempotency.Passed)
	}
	k, e := at(in, claim.Key), &entry{Entry: idempotency.Entry{Claim: claim, Done: true, Result: r}, bytes: sizeOfResult(&r)}
	c.set(k, e)
	c.s.keys.done = append(c.s.keys.done, doneAt{k, e})
	return nil
}

// Release gives the key back.
func (c idempotencies) Release(ctx context.Context, in tenancy.Scope, claim idempotency.Claim) error {
	leave, err := c.enterAs(ctx, in)
	if err != nil {
		return err
	}
	defer leave()
	if c.mine(in, claim) != nil {
		c.set(at(in, claim.Key), nil)
	}
	return nil
}

// Prune forgets what was completed before the moment, and what lapsed before it.
func (c idempotencies) Prune(ctx context.Context, before time.Time) (n int, err error) {
	leave, err := c.enter(ctx)
	if err != nil {
		return 0, err
	}
	defer leave()
	for k, e := range c.s.keys.entries {
		if e.Done && e.Result.Completed.Before(before) || !e.Done && e.Until.Before(before) {
			c.set(k, nil)
			n++
		}
	}
	return n, nil
}

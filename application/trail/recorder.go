// Package trail is the audit log's use cases: what happens is recorded with what
// it does, signed from time to time, verified and exported.
package trail

import (
	"context"
	"sync"
	"time"

	"agentapi/domain/audit"
	"agentapi/domain/fault"
	"agentapi/domain/tenancy"
	"agentapi/ports"
)

// Recorder makes entries and appends them. It is safe for concurrent use; a nil
// Recorder records nothing.
type Recorder struct {
	storage  ports.Storage
	instance string
	now      func() time.Time
	random   func([]byte)

	told func(n int, err error) // nil: nobody

	mu       sync.Mutex
	subjects map[tenancy.Scope]remembered
}

// remembered is a pseudonym that need not be asked for.
type remembered struct {
	subject audit.Subject
	name    string // the pseudonym, as entries have it
	until   time.Time
}

const (
	// rememberFor is how long another server may use a pseudonym after its erasure,
	// which brings nothing back.
	rememberFor = 30 * time.Second
	maxSubjects = 10_000
)

// NewRecorder makes a Recorder of this server process.
func NewRecorder(storage ports.Storage, instance string, now func() time.Time, random func([]byte)) *Recorder {
	return &Recorder{storage: storage, instance: instance, now: now, random: random, subjects: make(map[tenancy.Scope]remembered)}
}

// Note is what a use case says that happened.
type Note struct {
	Action  audit.Action
	Who     tenancy.Scope // the user who acts; zero: Actor does
	From    tenancy.Origin
	Actor   string        // audit.System or audit.Operator
	Org     tenancy.OrgID // of what an Actor did in an organisation, or Who in another one than their own; if absent About's
	What    string        // the kind of thing that it was done to, such as session
	Own     string        // its id, which is Who's own, or About's; the log has a commitment to it
	About   tenancy.Scope // the user whom it was done to
	Target  string        // or what it was done to, where that is nobody's own
	Outcome audit.Outcome // OK if empty
	Request string
	Details map[string]string // cut to what an entry holds
	// Personal are values of whom it is about, or else of who acts: the log has
	// commitments to them. Where there are none, it has them to what is known of Who,
	// who came From somewhere.
	Personal map[string]string
}

// Entry makes an entry of what happened. It may ask the storage for the user's
// pseudonym, so it is not for the inside of a transaction. fault.Internal: the
// note must not stand in the log.
func (r *Recorder) Entry(ctx context.Context, n Note) (audit.Entry, error) {
	if r == nil {
		return audit.Entry{}, nil
	}
	if n.Org.IsZero() && !n.Who.IsZero() && !n.About.IsZero() && n.About.Org() != n.Who.Org() {
		n.Org = n.About.Org()
	}
	var random [10]byte
	r.random(random[:])
	at := r.now()
	f := audit.Fields{
		ID: audit.NewID(at, random), Org: n.Org, Actor: n.Actor, Action: n.Action, Target: n.Target, Outcome: n.Outcome,
		Request: n.Request, Instance: r.instance, At: at, Personal: n.Personal,
	}
	if f.Outcome == "" {
		f.Outcome = audit.OK
	}
	if !n.Who.IsZero() {
		s, err := r.subject(ctx, n.Who)
		if err != nil {
			return audit.Entry{}, err
		}
		if f.Actor, f.Subject = s.name, s.subject; n.Org.IsZero() {
			f.Org = n.Who.Org()
		}
		if n.Own != "" {
			f.Target = s.subject.Own(n.What, n.Own)
		}
		if n.Org.IsZero() && len(n.Personal) == 0 {
			if f.Personal, err = r.personal(ctx, n); err != nil {
				return audit.Entry{}, err
			}
		}
	}
	if !n.About.IsZero() {
		s, err := r.subject(ctx, n.About)
		if err != nil {
			return audit.Entry{}, err
		}
		f.Target = s.name
		if n.Own != "" {
			f.Target = s.subject.Own(n.What, n.Own)
		}
		if len(n.Personal) > 0 {
			f.Subject = s.subject
		}
	}
	if !hasEmpty(n.Details) {
		f.Details = n.Details
		if e, err := audit.New(f); err == nil { // as most are
			return e, nil
		}
	}
	f.Details = clipped(n.Details)
	return audit.New(f)
}

func hasEmpty(details map[string]string) bool {
	for _, v := range details {
		if v == "" {
			return true
		}
	}
	return false
}

// personal gives what is recorded of the person who acts, erasably: where the
// request came from, and the e-mail address in the organisation.
func (r *Recorder) personal(ctx context.Context, n Note) (map[string]string, error) {
	if n.From == (tenancy.Origin{}) {
		return nil, nil
	}
	known, err := r.storage.Directory().Standing(ctx, n.Who.Org(), n.Who.User())
	if err != nil {
		return nil, err
	}
	values := make(map[string]string, 3)
	add := func(name, value string) {
		if value != "" {
			values[name] = audit.Clip(value)
		}
	}
	if n.From.Address.IsValid() {
		add("ip", n.From.Address.String())
	}
	add("user_agent", n.From.Agent)
	if known.Member != nil {
		add("email", known.Member.Email)
	}
	return values, nil
}

// clipped makes details fit for an entry.
func clipped(details map[string]string) map[string]string {
	out := make(map[string]string, len(details))
	for k, v := range details {
		if v != "" {
			out[k] = audit.Clip(v)
		}
	}
	return out
}

// Append appends entries that Entry has made, in a transaction. fault.Unavailable,
// code audit_unavailable, at the latest when it is committed.
func (r *Recorder) Append(ctx context.Context, tx ports.Repositories, entries ...audit.Entry) error {
	if r == nil {
		return nil
	}
	return r.tell(len(entries), tx.Audit().Append(ctx, entries...))
}

// Watch has told be called for all entries that are handed to the storage, or could not
// be. It must not block. It is called once, before anything is recorded.
func (r *Recorder) Watch(told func(n int, err error)) {
	if r != nil {
		r.told = told
	}
}

func (r *Recorder) tell(n int, err error) error {
	if r.told != nil && n > 0 {
		r.told(n, err)
	}
	return err
}

// Record appends a note in a transaction of its own.
func (r *Recorder) Record(ctx context.Context, n Note) error {
	e, err := r.Entry(ctx, n)
	if err != nil || r == nil {
		return err
	}
	return r.tell(1, r.storage.Audit().Append(ctx, e))
}

// subject gives the pseudonym of a user, who gets one at first sight.
func (r *Recorder) subject(ctx context.Context, in tenancy.Scope) (remembered, error) {
	now := r.now()
	r.mu.Lock()
	known, ok := r.subjects[in]
	r.mu.Unlock()
	if ok && now.Before(known.until) {
		return known, nil
	}
	var random [42]byte
	r.random(random[:])
	s, err := r.storage.Audit().Subject(ctx, in, audit.NewSubject(now, random))
	if err != nil {
		return remembered{}, err
	}
	known = remembered{s, s.ID.String(), now.Add(rememberFor)}
	r.mu.Lock()
	defer r.mu.Unlock()
	if len(r.subjects) >= maxSubjects {
		clear(r.subjects)
	}
	r.subjects[in] = known
	return known, nil
}

// Forget removes who the pseudonym of the scope's user is, and records that it was
// erased; the log stays whole, and leads to nobody.
func (r *Recorder) Forget(ctx context.Context, in tenancy.Scope, rows int) error {
	if r == nil {
		return nil
	}
	err := r.storage.Atomically(ctx, func(ctx context.Context, tx ports.Repositories) error {
		id, err := tx.Audit().Forget(ctx, in)
		if err != nil || id.IsZero() && rows == 0 {
			return err // there was nobody
		}
		e, err := r.Entry(ctx, Note{Action: audit.DataErased, Actor: audit.Operator, Org: in.Org(), Target: id.String(), Details: counted("rows", rows)})
		if err != nil {
			return err
		}
		return tx.Audit().Append(ctx, e)
	})
	r.mu.Lock()
	defer r.mu.Unlock()
	delete(r.subjects, in)
	return err
}

// Refused tells whether an error says that the audit log could not be written.
func Refused(err error) bool {
	f := fault.As(err)
	return f != nil && f.Code == "audit_unavailable"
}

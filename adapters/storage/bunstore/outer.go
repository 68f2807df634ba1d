package bunstore

import (
	"context"
	"time"

	"agentapi/domain/audit"
	"agentapi/domain/idempotency"
	"agentapi/domain/page"
	"agentapi/domain/session"
	"agentapi/domain/tenancy"
	"agentapi/domain/usage"
	"agentapi/ports"
)

// Outer is the repositories outside a transaction: reads go to a pool, each
// write is a transaction of its own.
type Outer struct {
	// Reads gives read what it reads with; fault.Unavailable while the storage is
	// not open.
	Reads  func(ctx context.Context, read func(ctx context.Context, r *Repositories) error) error
	Writes func(ctx context.Context, fn func(context.Context, ports.Repositories) error) error

	watch ports.Watch // nil: nobody
}

var _ ports.Repositories = (*Outer)(nil)

// Sessions is the collection of conversations.
func (o *Outer) Sessions() ports.Sessions { return outerSessions{o} }

// Usage is the account of what was consumed.
func (o *Outer) Usage() ports.Usage { return outerUsage{o} }

// Idempotency is the memory of keyed requests.
func (o *Outer) Idempotency() ports.Idempotency { return outerIdempotency{o} }

// Audit is the audit log.
func (o *Outer) Audit() ports.Audit { return outerAudit{o} }

// read runs a reading call with the checks that every call outside begins with.
func read[T any](ctx context.Context, o *Outer, call func(context.Context, *Repositories) (T, error)) (out T, err error) {
	if err := Outside(ctx); err != nil {
		return out, err
	}
	err = o.Watched(ctx, "read", func(ctx context.Context) error {
		return o.Reads(ctx, func(ctx context.Context, r *Repositories) (err error) {
			out, err = call(ctx, r)
			return err
		})
	})
	return out, err
}

// Watch has a watch told of all reads and writes. It is called once, before the first.
func (o *Outer) Watch(w ports.Watch) { o.watch = w }

// Watched makes a call of which the watch is told.
func (o *Outer) Watched(ctx context.Context, op string, call func(context.Context) error) error {
	if o.watch == nil {
		return call(ctx)
	}
	ctx, done := o.watch(ctx, op)
	err := call(ctx)
	done(err)
	return err
}

type outerSessions struct{ o *Outer }

func (s outerSessions) Create(ctx context.Context, in tenancy.Scope, v *session.Session, turns ...session.Turn) error {
	return s.o.Writes(ctx, func(ctx context.Context, tx ports.Repositories) error {
		return tx.Sessions().Create(ctx, in, v, turns...)
	})
}

func (s outerSessions) Update(ctx context.Context, in tenancy.Scope, id session.ID, change func(*session.Session) error) error {
	return s.o.Writes(ctx, func(ctx context.Context, tx ports.Repositories) error {
		return tx.Sessions().Update(ctx, in, id, change)
	})
}

func (s outerSessions) Append(ctx context.Context, in tenancy.Scope, id session.ID, after int, turns ...session.Turn) error {
	return s.o.Writes(ctx, func(ctx context.Context, tx ports.Repositories) error {
		return tx.Sessions().Append(ctx, in, id, after, turns...)
	})
}

func (s outerSessions) Delete(ctx context.Context, in tenancy.Scope, id session.ID) error {
	return s.o.Writes(ctx, func(ctx context.Context, tx ports.Repositories) error { return tx.Sessions().Delete(ctx, in, id) })
}

func (s outerSessions) Get(ctx context.Context, in tenancy.Scope, id session.ID) (*session.Session, error) {
	return read(ctx, s.o, func(ctx context.Context, r *Repositories) (*session.Session, error) {
		return r.Sessions().Get(ctx, in, id)
	})
}

func (s outerSessions) ByKey(ctx context.Context, in tenancy.Scope, key session.Key) (*session.Session, error) {
	return read(ctx, s.o, func(ctx context.Context, r *Repositories) (*session.Session, error) {
		return r.Sessions().ByKey(ctx, in, key)
	})
}

func (s outerSessions) History(ctx context.Context, in tenancy.Scope, id session.ID) ([]session.Turn, error) {
	return read(ctx, s.o, func(ctx context.Context, r *Repositories) ([]session.Turn, error) {
		return r.Sessions().History(ctx, in, id)
	})
}

func (s outerSessions) Turns(ctx context.Context, in tenancy.Scope, id session.ID, q page.Query) (page.Of[session.Turn], error) {
	return read(ctx, s.o, func(ctx context.Context, r *Repositories) (page.Of[session.Turn], error) {
		return r.Sessions().Turns(ctx, in, id, q)
	})
}

func (s outerSessions) List(ctx context.Context, in tenancy.Scope, f session.Filter, q page.Query) (page.Of[*session.Session], error) {
	return read(ctx, s.o, func(ctx context.Context, r *Repositories) (page.Of[*session.Session], error) {
		return r.Sessions().List(ctx, in, f, q)
	})
}

func (s outerSessions) Find(ctx context.Context, in tenancy.Realm, id session.ID) (*session.Session, error) {
	return read(ctx, s.o, func(ctx context.Context, r *Repositories) (*session.Session, error) {
		return r.Sessions().Find(ctx, in, id)
	})
}

func (s outerSessions) ListAll(ctx context.Context, in tenancy.Realm, f session.Filter, q page.Query) (page.Of[*session.Session], error) {
	return read(ctx, s.o, func(ctx context.Context, r *Repositories) (page.Of[*session.Session], error) {
		return r.Sessions().ListAll(ctx, in, f, q)
	})
}

type outerUsage struct{ o *Outer }

func (u outerUsage) Record(ctx context.Context, in tenancy.Scope, records ...usage.Record) error {
	return u.o.Writes(ctx, func(ctx context.Context, tx ports.Repositories) error { return tx.Usage().Record(ctx, in, records...) })
}

func (u outerUsage) Records(ctx context.Context, in tenancy.Scope, after usage.ID, most int) ([]usage.Record, error) {
	return read(ctx, u.o, func(ctx context.Context, r *Repositories) ([]usage.Record, error) {
		return r.Usage().Records(ctx, in, after, most)
	})
}

func (u outerUsage) Report(ctx context.Context, in tenancy.Realm, q usage.Query) ([]usage.Row, error) {
	return read(ctx, u.o, func(ctx context.Context, r *Repositories) ([]usage.Row, error) { return r.Usage().Report(ctx, in, q) })
}

func (u outerUsage) ReportAll(ctx context.Context, q usage.Query) ([]usage.Row, error) {
	return read(ctx, u.o, func(ctx context.Context, r *Repositories) ([]usage.Row, error) { return r.Usage().ReportAll(ctx, q) })
}

func (u outerUsage) Totals(ctx context.Context, in tenancy.Scope) (usage.Totals, error) {
	return read(ctx, u.o, func(ctx context.Context, r *Repositories) (usage.Totals, error) { return r.Usage().Totals(ctx, in) })
}

type outerIdempotency struct{ o *Outer }

func (i outerIdempotency) Claim(ctx context.Context, in tenancy.Scope, c idempotency.Claim) (out idempotency.Outcome, err error) {
	err = i.o.Writes(ctx, func(ctx context.Context, tx ports.Repositories) (err error) {
		out, err = tx.Idempotency().Claim(ctx, in, c)
		return err
	})
	if err != nil {
		return idempotency.Outcome{}, err
	}
	return out, nil
}

func (i outerIdempotency) Complete(ctx context.Context, in tenancy.Scope, c idempotency.Claim, r idempotency.Result) error {
	return i.o.Writes(ctx, func(ctx context.Context, tx ports.Repositories) error {
		return tx.Idempotency().Complete(ctx, in, c, r)
	})
}

func (i outerIdempotency) Release(ctx context.Context, in tenancy.Scope, c idempotency.Claim) error {
	return i.o.Writes(ctx, func(ctx context.Context, tx ports.Repositories) error { return tx.Idempotency().Release(ctx, in, c) })
}

// Prune forgets in many small transactions what may be much.
func (i outerIdempotency) Prune(ctx context.Context, before time.Time) (total int, err error) {
	for {
		n := 0
		err = i.o.Writes(ctx, func(ctx context.Context, tx ports.Repositories) (err error) {
			n, err = tx.Idempotency().Prune(ctx, before)
			return err
		})
		if total += n; err != nil || n < forgotten {
			return total, err
		}
	}
}

type outerAudit struct{ o *Outer }

func (a outerAudit) Append(ctx context.Context, entries ...audit.Entry) error {
	return a.o.Writes(ctx, func(ctx context.Context, tx ports.Repositories) error { return tx.Audit().Append(ctx, entries...) })
}

// Subject writes only where there is none yet.
func (a outerAudit) Subject(ctx context.Context, in tenancy.Scope, fresh audit.Subject) (out audit.Subject, err error) {
	out, err = read(ctx, a.o, func(ctx context.Context, r *Repositories) (audit.Subject, error) {
		if err := r.writing(ctx, in); err != nil {
			return audit.Subject{}, err
		}
		return audits{r}.subject(ctx, in)
	})
	if err != nil || !out.ID.IsZero() {
		return out, err
	}
	err = a.o.Writes(ctx, func(ctx context.Context, tx ports.Repositories) (err error) {
		out, err = tx.Audit().Subject(ctx, in, fresh)
		return err
	})
	if err != nil {
		return audit.Subject{}, err
	}
	return out, nil
}

func (a outerAudit) Known(ctx context.Context, in tenancy.Realm, users []tenancy.UserID, subjects []audit.SubjectID) ([]audit.Known, error) {
	return read(ctx, a.o, func(ctx context.Context, r *Repositories) ([]audit.Known, error) {
		return r.Audit().Known(ctx, in, users, subjects)
	})
}

func (a outerAudit) Values(ctx context.Context, in tenancy.Scope) ([]audit.Value, error) {
	return read(ctx, a.o, func(ctx context.Context, r *Repositories) ([]audit.Value, error) { return r.Audit().Values(ctx, in) })
}

func (a outerAudit) Forget(ctx context.Context, in tenancy.Scope) (out audit.SubjectID, err error) {
	err = a.o.Writes(ctx, func(ctx context.Context, tx ports.Repositories) (err error) {
		out, err = tx.Audit().Forget(ctx, in)
		return err
	})
	if err != nil {
		return audit.SubjectID{}, err
	}
	return out, nil
}

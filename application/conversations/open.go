package conversations

import (
	"context"
	"time"

	"agentapi/domain/audit"
	"agentapi/domain/fault"
	"agentapi/domain/idempotency"
	"agentapi/domain/session"
	"agentapi/domain/tenancy"
	"agentapi/ports"
)

// claimFor is how long an idempotency key is held where its server has died.
const claimFor = time.Minute

// Opening asks for a new session.
type Opening struct {
	Key  session.Key  // of the client's own; zero: none
	Edit session.Edit // its title and metadata
	// Once makes a repetition harmless; zero: the request has no idempotency key.
	Once idempotency.Key
	Body [32]byte // the fingerprint of the request body
}

// Open stores a new session without turns. With an idempotency key it does so
// once: a repetition gets what the first request got, and replayed. fault.Invalid;
// fault.Conflict where the key names a session already, code key_taken, or the
// same request runs; fault.KeyReuse.
func (s *Service) Open(ctx context.Context, who tenancy.Principal, o Opening) (v *session.Session, replayed bool, err error) {
	at := session.Moment(s.Now())
	var random [10]byte
	s.Random(random[:])
	if v, err = opened(session.NewID(at, random), who.Scope(), o, at); err != nil {
		return nil, false, err
	}
	if o.Once == (idempotency.Key{}) {
		return v, false, taken(s.recorded(ctx, who, audit.SessionCreated, v.ID, func(ctx context.Context, tx ports.Repositories) error {
			return tx.Sessions().Create(ctx, who.Scope(), v)
		}))
	}
	claim := idempotency.Claim{Key: o.Once, Body: o.Body, Owner: s.Instance, At: at, Until: at.Add(claimFor)}
	out, err := s.Storage.Idempotency().Claim(ctx, who.Scope(), claim)
	if err != nil {
		return nil, false, err
	}
	if out.Replay != nil {
		v, err = again(who.Scope(), o, out.Replay)
		return v, true, err
	}
	err = s.recorded(ctx, who, audit.SessionCreated, v.ID, func(ctx context.Context, tx ports.Repositories) error {
		if err := tx.Sessions().Create(ctx, who.Scope(), v); err != nil {
			return err
		}
		return tx.Idempotency().Complete(ctx, who.Scope(), claim, idempotency.Result{Session: v.ID.String(), Created: at, Completed: at})
	})
	if err == nil {
		return v, false, nil
	}
	// Where this fails too, the claim lapses.
	_ = s.Storage.Idempotency().Release(context.WithoutCancel(ctx), who.Scope(), claim)
	return nil, false, taken(err)
}

// opened is the session that is asked for.
func opened(id session.ID, in tenancy.Scope, o Opening, at time.Time) (*session.Session, error) {
	v := session.New(id, in, o.Key, at)
	if err := v.Apply(o.Edit, at); err != nil {
		return nil, err
	}
	return v, nil
}

// again is the session that the first request with the idempotency key got: the
// same request, at its time.
func again(in tenancy.Scope, o Opening, r *idempotency.Result) (*session.Session, error) {
	id, err := session.ParseID(r.Session)
	if err != nil {
		return nil, fault.Internalf("a stored idempotency result names no session: %w", err)
	}
	return opened(id, in, o, r.Created)
}

// taken says of a conflict what it is about.
func taken(err error) error {
	switch f := fault.As(err); {
	case f == nil || f.Kind != fault.Conflict:
		return err
	case f.Code == idempotency.Passed:
		return fault.Wrap(fault.Conflict, err, "Another request has run with this Idempotency-Key meanwhile. Send it again to get its answer.").
			WithCode("idempotency_in_progress").WithRetryAfter(time.Second)
	default:
		return fault.Wrap(fault.Conflict, err, "You have a session with this key already.").WithCode("key_taken").WithParam("key").
			WithHint("A request with the key in X-Session-Id goes on with it.")
	}
}

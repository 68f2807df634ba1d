package admin

import (
	"cmp"
	"context"
	"iter"

	"agentapi/application/trail"
	"agentapi/domain/audit"
	"agentapi/domain/fault"
	"agentapi/domain/page"
	"agentapi/domain/tenancy"
)

// Log lists what was recorded in an organisation, or on the whole platform where
// org is zero.
func (s *Service) Log(ctx context.Context, who tenancy.Principal, org tenancy.OrgID, f audit.Filter, q page.Query) (page.Of[audit.Sealed], error) {
	var none page.Of[audit.Sealed]
	if org.IsZero() {
		if err := who.May(tenancy.ReadPlatform); err != nil {
			return none, err
		}
	} else {
		in, err := who.Realm(org, tenancy.ReadAudit)
		if err != nil {
			return none, err
		}
		f.Org = in.Org()
	}
	return paged(q, func(q page.Query) (page.Of[audit.Sealed], error) { return s.Storage.Trail().List(ctx, f, q) })
}

// Trail looks after the audit log.
type Trail interface {
	// Verify holds a part of the log against itself and all checkpoints, and records
	// that it did so.
	Verify(ctx context.Context, p trail.Part, by trail.Note) (audit.Verdict, error)
	// State is what is known of the log without looking at it anew.
	State() trail.State
	// Public is the key that checkpoints are checked with.
	Public() audit.Key
}

// looking refuses where nobody looks after the log.
func (s *Service) looking() error {
	if s.Trail == nil {
		return fault.NotFoundf("audit_off", "This server keeps no audit log.").WithHint("Its operator turns it on with audit.enabled.")
	}
	return nil
}

// Checkpoints lists what was signed of the log behind a number, the oldest first.
func (s *Service) Checkpoints(ctx context.Context, who tenancy.Principal, after uint64, limit int) (out page.Of[audit.Checkpoint], err error) {
	if err := who.May(tenancy.ReadPlatform); err != nil {
		return out, err
	}
	q, err := page.Query{Limit: limit}.Normal()
	if err != nil {
		return out, err
	}
	out.Items, err = s.Storage.Trail().Checkpoints(ctx, after, q.Limit+1)
	if out.More = len(out.Items) > q.Limit; out.More {
		out.Items = out.Items[:q.Limit]
	}
	return out, err
}

// MaxVerified is how many entries are verified for one request at most.
const MaxVerified = 200_000

// VerifyLog verifies a part of the log for a caller. more tells whether there are
// entries behind it.
func (s *Service) VerifyLog(ctx context.Context, who tenancy.Principal, p trail.Part) (v audit.Verdict, more bool, err error) {
	if err := cmp.Or(who.May(tenancy.WritePlatform), s.looking()); err != nil {
		return v, false, err
	}
	head, err := s.Storage.Trail().Head(ctx)
	if err != nil {
		return v, false, err
	}
	v, err = s.Trail.Verify(ctx, p, trail.Note{Who: who.Scope(), From: who.Origin()})
	return v, err == nil && v.Finding == nil && v.Last < head.Seq, err
}

// Verified tells what the server's own verifications have found.
func (s *Service) Verified(who tenancy.Principal) (trail.State, audit.Key, error) {
	if err := cmp.Or(who.May(tenancy.ReadPlatform), s.looking()); err != nil {
		return trail.State{}, audit.Key{}, err
	}
	return s.Trail.State(), s.Trail.Public(), nil
}

// ExportLog gives the log, or an organisation's own part where org is not zero, as an
// export's lines. That it was exported is recorded before.
func (s *Service) ExportLog(ctx context.Context, who tenancy.Principal, org tenancy.OrgID) (func(context.Context) iter.Seq2[[]byte, error], error) {
	if org.IsZero() {
		if err := who.May(tenancy.ReadPlatform); err != nil {
			return nil, err
		}
	} else {
		in, err := who.Realm(org, tenancy.ReadAudit)
		if err != nil {
			return nil, err
		}
		org = in.Org()
	}
	n := note(who, audit.AuditExported, org.String(), nil)
	if org != who.Org() {
		n.Org = org // zero: it is of the platform
	}
	if err := s.Audit.Record(ctx, n); err != nil {
		return nil, err
	}
	return func(ctx context.Context) iter.Seq2[[]byte, error] {
		return trail.Lines(ctx, s.Storage, audit.Filter{Org: org}, new(trail.Exported))
	}, nil
}

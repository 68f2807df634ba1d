package memory

import (
	"context"
	"slices"
	"time"

	"agentapi/domain/fault"
	"agentapi/domain/retention"
	"agentapi/domain/tenancy"
	"agentapi/ports"
)

// Upkeep removes what need not be kept.
func (s *Store) Upkeep() ports.Upkeep { return upkeep{s, autocommit{s}} }

type upkeep struct {
	s *Store
	locker
}

// lease is who does what only one shall do, and until when.
type lease struct {
	holder string
	until  time.Time
}

// old are the sessions that the rule lets go, at most most; the mutex must be held.
func (u upkeep) old(rule retention.Rule, most int) (out []*record) {
	for _, r := range u.s.sessions.byID {
		if len(out) < most && r.session.Updated.Before(rule.Before) && rule.Admits(r.session.Org) {
			out = append(out, r)
		}
	}
	return out
}

// spent are the usage records that the rule lets go.
func (u upkeep) spent(rule retention.Rule, most int) (out []*booked) {
	for b := range u.s.usage.records() {
		if len(out) < most && b.record.At.Before(rule.Before) && rule.Admits(b.who.org) {
			out = append(out, b)
		}
	}
	return out
}

// Expire removes what the rule lets go.
func (u upkeep) Expire(ctx context.Context, rule retention.Rule, most int) (gone int, more bool, err error) {
	leave, err := u.enter(ctx)
	if err != nil {
		return 0, false, err
	}
	defer leave()
	switch rule.Kind {
	case retention.Sessions:
		old := u.old(rule, most)
		for _, r := range old {
			u.s.sessions.remove(r)
		}
		return len(old), len(old) == most, nil
	case retention.Usage:
		spent := u.spent(rule, most)
		for _, b := range spent {
			u.s.usage.forget(b)
		}
		return len(spent), len(spent) == most, nil
	case retention.AgentHealth:
		past := u.s.past(rule.Before, most)
		for _, i := range slices.Backward(past) {
			u.s.changes = slices.Delete(u.s.changes, i, i+1)
		}
		return len(past), len(past) == most, nil
	default:
		return 0, false, fault.Internalf("%q is no kind of data that has an age", rule.Kind)
	}
}

// Expiring counts what Expire would remove.
func (u upkeep) Expiring(ctx context.Context, rule retention.Rule) (int, error) {
	leave, err := u.enter(ctx)
	if err != nil {
		return 0, err
	}
	defer leave()
	const all = int(^uint(0) >> 1)
	switch rule.Kind {
	case retention.AgentHealth:
		return len(u.s.past(rule.Before, all)), nil
	case retention.Usage:
		return len(u.spent(rule, all)), nil
	}
	return len(u.old(rule, all)), nil
}

// Rotate does nothing: records go one by one.
func (u upkeep) Rotate(ctx context.Context, _, _ time.Time) (int, error) {
	leave, err := u.enter(ctx)
	if err == nil {
		leave()
	}
	return 0, err
}

// Erase removes the scope's user.
func (u upkeep) Erase(ctx context.Context, in tenancy.Scope, pseudonym tenancy.UserID, most int) (n int, err error) {
	leave, err := u.enter(ctx)
	if err != nil {
		return 0, err
	}
	defer leave()
	if in.IsZero() {
		return 0, forbidden()
	}
	who := owner{in.Org(), in.User()}
	for _, id := range slices.Clone(u.s.sessions.byOwner[who]) {
		if n == most {
			return n, nil
		}
		u.s.sessions.remove(u.s.sessions.byID[id])
		n++
	}
	for k := range u.s.keys.entries {
		if k.owner == who {
			u.s.keys.put(k, nil)
			n++
		}
	}
	u.s.strike(who)
	n += u.s.unfund(who)
	return n + u.s.disown(who, pseudonym) + u.s.usage.rename(who, owner{in.Org(), pseudonym}) + u.s.uninvite(who, pseudonym) + u.s.register.expel(who), nil
}

// Lease gives the lease to holder, where it is free.
func (u upkeep) Lease(ctx context.Context, name, holder string, at time.Time, keep time.Duration) (bool, error) {
	leave, err := u.enter(ctx)
	if err != nil {
		return false, err
	}
	defer leave()
	if l, ok := u.s.leases[name]; ok && l.holder != holder && !l.until.Before(at) {
		return false, nil
	}
	u.s.leases[name] = lease{holder, at.Add(keep)}
	return true, nil
}

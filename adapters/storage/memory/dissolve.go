package memory

import (
	"context"

	"agentapi/domain/job"
	"agentapi/domain/tenancy"
)

// Dissolve removes what an organisation has, but for its members.
func (u upkeep) Dissolve(ctx context.Context, in tenancy.Realm, most int) (n int, err error) {
	leave, err := u.enter(ctx)
	if err != nil {
		return 0, err
	}
	defer leave()
	if in.IsZero() {
		return 0, forbidden()
	}
	s, org := u.s, in.Org()
	var sessions []*record
	for _, r := range s.sessions.byID {
		if len(sessions) < most && r.session.Org == org {
			sessions = append(sessions, r)
		}
	}
	for _, r := range sessions {
		s.sessions.remove(r)
	}
	spent := 0
	for b := range s.usage.records() {
		if spent < most && b.who.org == org {
			s.usage.forget(b)
			spent++
		}
	}
	for k := range s.keys.entries {
		if k.owner.org == org {
			s.keys.put(k, nil)
			n++
		}
	}
	for id, g := range s.rolls.groups {
		if g.Org == org {
			for e := range s.rolls.lists {
				if e.group == id {
					delete(s.rolls.lists, e)
				}
			}
			delete(s.rolls.groups, id)
			n++
		}
	}
	n += drop(s.register.invited, func(i *tenancy.Invitation) bool { return i.Org == org })
	n += drop(s.purse.holds, func(h *hold) bool { return h.who.org == org })
	for id, b := range s.purse.budgets {
		if b.Org == org {
			s.purse.remove(id)
			n++
		}
	}
	n += drop(s.jobs, func(j *job.Job) bool { return j.Org == org && j.State.Ended() && j.Kind != job.EraseOrg })
	for who := range s.log.subjects {
		if who.org == org {
			delete(s.log.subjects, who)
			delete(s.log.values, who)
			n++
		}
	}
	return len(sessions) + spent + n + s.register.unhouse(org), nil
}

// drop removes what goes, and returns how many.
func drop[K comparable, V any](from map[K]*V, goes func(*V) bool) (n int) {
	for k, v := range from {
		if goes(v) {
			delete(from, k)
			n++
		}
	}
	return n
}

// unhouse has users act nowhere who acted in an organisation, and removes those who
// are nobody elsewhere. It returns how many they are.
func (r *register) unhouse(org tenancy.OrgID) (n int) {
	member := make(map[tenancy.UserID]bool)
	for who := range r.members {
		member[who.user] = true
	}
	for id, u := range r.users {
		if u.Home != org {
			continue
		}
		n++
		if u.Platform == "" && !member[id] {
			delete(r.users, id)
			continue
		}
		c := *u
		c.Home = tenancy.OrgID{}
		c.Version++
		r.users[id] = &c
	}
	return n
}

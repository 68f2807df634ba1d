// Package retention says how long what is stored is kept.
package retention

import (
	"bytes"
	"maps"
	"slices"
	"time"

	"agentapi/domain/tenancy"
)

// Kind is a kind of data that has an age.
type Kind string

// The kinds.
const (
	Sessions Kind = "sessions" // with their messages; their age counts from their last change
	Usage    Kind = "usage"    // the account of what requests consumed
	// AgentHealth is how the platform's agents were; no tenant's.
	AgentHealth Kind = "agent_health"
)

// Policy is how long each kind is kept; zero: for ever.
type Policy struct {
	Sessions time.Duration
	Usage    time.Duration
}

// Within is the policy with what is kept no longer than wished, either kind by itself.
func (p Policy) Within(wish tenancy.Keeps) Policy {
	shorter := func(have, wish time.Duration) time.Duration {
		if wish > 0 && (have == 0 || wish < have) {
			return wish
		}
		return have
	}
	return Policy{shorter(p.Sessions, wish.Sessions), shorter(p.Usage, wish.Usage)}
}

// With is the policies where an organisation wishes something of its own.
func (p Policies) With(wishes map[tenancy.OrgID]tenancy.Keeps) Policies {
	out := Policies{Policy: p.Policy, AgentHealth: p.AgentHealth, Orgs: maps.Clone(p.Orgs)}
	if out.Orgs == nil {
		out.Orgs = make(map[tenancy.OrgID]Policy, len(wishes))
	}
	for org, wish := range wishes {
		holds, _ := p.Of(org)
		out.Orgs[org] = holds.Within(wish)
	}
	return out
}

// Policies is what holds for all organisations, and for those that have a policy
// of their own, which then counts whole.
type Policies struct {
	Policy
	AgentHealth time.Duration // how long the platform keeps how its agents were; zero: for ever
	Orgs        map[tenancy.OrgID]Policy
}

// Of is what holds for an organisation; own tells whether it is its own.
func (p Policies) Of(org tenancy.OrgID) (holds Policy, own bool) {
	if holds, own = p.Orgs[org]; own {
		return holds, true
	}
	return p.Policy, false
}

// Rule lets go what of a kind is older than a moment.
type Rule struct {
	Kind   Kind
	Before time.Time
	Org    tenancy.OrgID   // whose data is meant; zero: everybody's
	Except []tenancy.OrgID // but theirs, where Org is zero
}

// Admits tells whether an organisation's data is meant.
func (r Rule) Admits(org tenancy.OrgID) bool {
	if !r.Org.IsZero() {
		return r.Org == org
	}
	return !slices.Contains(r.Except, org)
}

// UsageGone is the moment before which nobody's usage is kept; zero: somebody's is
// for ever.
func (p Policies) UsageGone(at time.Time) time.Time {
	longest := p.Usage
	for _, own := range p.Orgs {
		if own.Usage == 0 || longest == 0 {
			return time.Time{}
		}
		longest = max(longest, own.Usage)
	}
	if longest == 0 {
		return time.Time{}
	}
	return at.Add(-longest)
}

// Rules are what the policies let go at the moment at.
func (p Policies) Rules(at time.Time) (rules []Rule) {
	own := slices.SortedFunc(maps.Keys(p.Orgs), func(a, b tenancy.OrgID) int { return bytes.Compare(a[:], b[:]) })
	add := func(p Policy, org tenancy.OrgID, except []tenancy.OrgID) {
		for _, k := range []struct {
			kind Kind
			keep time.Duration
		}{{Sessions, p.Sessions}, {Usage, p.Usage}} {
			if k.keep > 0 {
				rules = append(rules, Rule{Kind: k.kind, Before: at.Add(-k.keep), Org: org, Except: except})
			}
		}
	}
	add(p.Policy, tenancy.OrgID{}, own)
	for _, org := range own {
		add(p.Orgs[org], org, nil)
	}
	if p.AgentHealth > 0 {
		rules = append(rules, Rule{Kind: AgentHealth, Before: at.Add(-p.AgentHealth)})
	}
	return rules
}

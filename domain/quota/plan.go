package quota

import (
	"slices"
	"time"

	"agentapi/domain/fault"
)

// Limits is what an account may use; 0: as much as it likes.
type Limits struct {
	RequestsPerMinute int64
	RequestsPerDay    int64
	TokensPerMinute   int64
	TokensPerDay      int64
	Concurrent        int64 // requests that run at once
	Processes         int64 // programs of agents that run at once
}

// Within is the stricter of two limits, each by itself.
func (l Limits) Within(other Limits) Limits {
	stricter := func(a, b int64) int64 {
		if a == 0 || b != 0 && b < a {
			return b
		}
		return a
	}
	return Limits{
		stricter(l.RequestsPerMinute, other.RequestsPerMinute), stricter(l.RequestsPerDay, other.RequestsPerDay),
		stricter(l.TokensPerMinute, other.TokensPerMinute), stricter(l.TokensPerDay, other.TokensPerDay),
		stricter(l.Concurrent, other.Concurrent), stricter(l.Processes, other.Processes),
	}
}

// Tier is whose a limit is.
type Tier string

// The tiers, the widest first.
const (
	Platform     Tier = "platform"
	Organization Tier = "organization"
	User         Tier = "user"
	Key          Tier = "API key"
	Model        Tier = "model"
)

// words is the tier as texts call it.
func (t Tier) words() string {
	if t == Organization {
		return "organisation"
	}
	return string(t)
}

// Holder is one that has limits.
type Holder struct {
	Tier Tier
	ID   string // tells it from others of its tier
	Limits
}

// Unit is what a limit counts.
type Unit string

// The units.
const (
	Requests Unit = "requests"
	Tokens   Unit = "tokens"
	AtOnce   Unit = "requests at once"
	Programs Unit = "agent processes at once"
)

// Rule is one limit of a request's.
type Rule struct {
	Tier  Tier
	Unit  Unit
	Limit int64
	Per   time.Duration // 0: at once
}

func (r Rule) String() string {
	switch r.Per {
	case 0:
		return string(r.Unit) + " of the " + r.Tier.words()
	case time.Minute:
		return string(r.Unit) + " per minute of the " + r.Tier.words()
	default:
		return string(r.Unit) + " per day of the " + r.Tier.words()
	}
}

// Plan is what a request takes of all limits that hold for it.
type Plan struct {
	Claim Claim
	Rules []Rule // of the claim's rates, and behind them of its places
}

// day is what a limit per day is spread over.
const day = 24 * time.Hour

// Want is what a request takes.
type Want struct {
	Tokens  int64 // that it may use
	Program bool  // a program runs for it
	Only    bool  // all but the program was granted before
}

// Compose makes the plan of a request.
func Compose(id string, lease time.Duration, want Want, holders ...Holder) Plan {
	most := len(holders) * kinds
	p := Plan{Claim: Claim{ID: id, Lease: lease, Rates: make([]Charge, 0, most)}, Rules: make([]Rule, 0, most)}
	for i := range holders {
		if want.Only {
			break
		}
		h := &holders[i]
		p.rate(h, Requests, h.RequestsPerMinute, time.Minute, 1, "rpm")
		p.rate(h, Requests, h.RequestsPerDay, day, 1, "rpd")
		p.rate(h, Tokens, h.TokensPerMinute, time.Minute, want.Tokens, "tpm")
		p.rate(h, Tokens, h.TokensPerDay, day, want.Tokens, "tpd")
	}
	for i := range holders {
		h := &holders[i]
		if h.Concurrent > 0 && !want.Only {
			p.place(h, AtOnce, h.Concurrent, "running")
		}
		if h.Processes > 0 && want.Program {
			p.place(h, Programs, h.Processes, "programs")
		}
	}
	return p
}

// Terms are the limits that hold for somebody, worked out once for all their requests.
type Terms struct {
	holders []Holder
	plain   Plan // of a request that runs no program
}

// NewTerms makes the terms of whom the limits of holders bind.
func NewTerms(holders ...Holder) *Terms {
	return &Terms{holders, Compose("", 0, Want{}, holders...)}
}

// Plan makes the plan of a request, which the limits of others bind, too.
func (t *Terms) Plan(id string, lease time.Duration, want Want, others ...Holder) Plan {
	if want.Program || want.Only || len(others) > 0 {
		return Compose(id, lease, want, slices.Concat(t.holders, others)...)
	}
	p := t.plain
	p.Claim.ID, p.Claim.Lease, p.Claim.Rates = id, lease, slices.Clone(p.Claim.Rates)
	for i := range p.Claim.Rates {
		if p.Rules[i].Unit == Tokens {
			p.Claim.Rates[i].N = want.Tokens
		}
	}
	return p
}

// kinds is about how many limits a holder has.
const kinds = 2

func (p *Plan) rate(h *Holder, unit Unit, limit int64, per time.Duration, n int64, name string) {
	if limit > 0 {
		p.Claim.Rates = append(p.Claim.Rates, Charge{Key: h.key(name), Rate: Rate{Limit: limit, Per: per}, N: n})
		p.Rules = append(p.Rules, Rule{h.Tier, unit, limit, per})
	}
}

func (p *Plan) place(h *Holder, what Unit, most int64, name string) {
	p.Claim.Places = append(p.Claim.Places, Places{Key: h.key(name), Most: most})
	p.Rules = append(p.Rules, Rule{h.Tier, what, most, 0})
}

func (h *Holder) key(what string) string { return string(h.Tier) + ":" + h.ID + ":" + what }

// Free tells whether the plan takes nothing.
func (p Plan) Free() bool { return len(p.Rules) == 0 }

// Back is what comes back of each rate where so many tokens were used; a request
// counts as one, whatever became of it.
func (p Plan) Back(tokens int64) []int64 {
	back := make([]int64, len(p.Claim.Rates))
	for i, r := range p.Claim.Rates {
		if p.Rules[i].Unit == Tokens {
			back[i] = r.N - tokens
		}
	}
	return back
}

// Untaken is what comes back of each rate where nothing was begun.
func (p Plan) Untaken() []int64 {
	back := make([]int64, len(p.Claim.Rates))
	for i, r := range p.Claim.Rates {
		back[i] = r.N
	}
	return back
}

// Refusal is the fault of a plan that was not granted. fault.RateLimited with the code
// rate_limit_exceeded or concurrency_limit, and when to try again; fault.TooLong where
// the request wants more than a limit ever gives.
func (p Plan) Refusal(d Decision) error {
	r := p.Rules[d.Refused]
	switch {
	case d.RetryAfter < 0:
		n := p.Claim.Rates[d.Refused].N
		return fault.New(fault.TooLong, "The request may use %d tokens, and the limit of %s is %d.", n, r, r.Limit).
			WithCode("tokens_exceed_limit").WithHint("Send less, or a smaller max_completion_tokens.")
	case r.Per == 0:
		return fault.New(fault.RateLimited, "Too many %s: the limit is %d.", r, r.Limit).WithCode("concurrency_limit").WithRetryAfter(d.RetryAfter)
	default:
		return fault.New(fault.RateLimited, "The limit of %s is reached: it is %d, and %d remain. Try again in %s.", r, r.Limit, d.Levels[d.Refused].Remaining, d.RetryAfter.Round(time.Millisecond)).
			With(func(f *fault.Error) {
				f.Code, f.Type, f.RetryAfter = "rate_limit_exceeded", string(r.Unit), d.RetryAfter
			})
	}
}

// Standing is how a caller stands with regard to one unit.
type Standing struct {
	Limit, Remaining int64
	Reset            time.Duration // until all of the limit remains
}

// Standing is that of the tightest limit of a unit: the one of which least remains,
// as a part of it. ok: there is one.
func (p Plan) Standing(unit Unit, d Decision) (s Standing, ok bool) {
	for i, r := range p.Rules {
		if r.Unit != unit || r.Per == 0 {
			continue
		}
		l := d.Levels[i]
		if !ok || float64(l.Remaining)/float64(r.Limit) < float64(s.Remaining)/float64(s.Limit) {
			s, ok = Standing{r.Limit, l.Remaining, l.Reset}, true
		}
	}
	return s, ok
}

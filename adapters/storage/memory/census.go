package memory

import (
	"context"
	"time"

	"agentapi/domain/census"
	"agentapi/domain/session"
	"agentapi/domain/usage"
)

// Census counts what all tenants have; of usage, what is remembered.
func (s *Store) Census(ctx context.Context, at time.Time, most int64) (census.Census, error) {
	leave, err := autocommit{s}.enter(ctx)
	if err != nil {
		return census.Census{}, err
	}
	defer leave()
	up := func(n int) int64 { return min(int64(n), most) }
	out := census.Census{Most: most, Orgs: up(len(s.register.orgs)), Users: up(len(s.register.users)), Sessions: up(len(s.sessions.byID))}
	for _, k := range s.register.keys {
		if k.Revoked.IsZero() && out.Keys < most {
			out.Keys++
		}
	}
	for since, sum := range map[time.Duration]*usage.Totals{time.Hour: &out.LastHour, 24 * time.Hour: &out.LastDay} {
		from := session.Moment(at.Add(-since))
		for b := range s.usage.records() {
			if !b.record.At.Before(from) && sum.Requests < most {
				sum.Requests++
				sum.PromptTokens += int64(b.record.Tokens.Prompt)
				sum.CompletionTokens += int64(b.record.Tokens.Completion)
			}
		}
	}
	return out, nil
}

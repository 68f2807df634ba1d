package oidc

import (
	"context"
	"errors"

	"agentapi/domain/fault"
)

// Verdict is what one check says of a token.
type Verdict struct {
	Check string
	Found string
	Err   error // fault.Unavailable if it could not be made
}

// Inspect makes every check of a token, those behind a failed one too.
func (i *Identity) Inspect(ctx context.Context, bearer string) []Verdict {
	parts, err := take(bearer)
	if err != nil {
		return []Verdict{{Check: "form", Err: err}}
	}
	out := []Verdict{{Check: "form", Found: "a JWT"}}
	t := &trial{token: parts, now: i.now()}
	for _, c := range checks() {
		found, err := c.run(ctx, i, t)
		out = append(out, Verdict{c.name, found, err})
	}
	return out
}

// Decode gives a JWT's header and claims as they are, unchecked.
func Decode(bearer string) (header, claims map[string][]byte, err error) {
	t, err := take(bearer)
	if err != nil {
		return nil, nil, err
	}
	return t.header, t.payload, nil
}

// Provider is what an examination says of a provider.
type Provider struct {
	Issuer string
	Keys   int  // that signatures can be checked with
	Open   bool // its tokens are taken whatever their audience
	Err    error
}

// Examine fetches every provider's keys.
func (i *Identity) Examine(ctx context.Context) []Provider {
	out := make([]Provider, 0, len(i.all))
	for _, one := range i.all {
		p := Provider{Issuer: one.name(), Open: len(one.Audience) == 0}
		if _, err := one.keys.find(ctx, ""); !errors.Is(err, errUnknownKey) {
			p.Err = err
			if e := fault.As(err); e != nil && e.Unwrap() != nil {
				p.Err = e.Unwrap()
			}
		}
		one.keys.mu.Lock()
		for _, same := range one.keys.keys {
			p.Keys += len(same)
		}
		one.keys.mu.Unlock()
		out = append(out, p)
	}
	return out
}

// Package oidc is login by a provider of OpenID Connect: tokens that it signed,
// checked with its keys. No client's secret is needed, and the provider is not
// asked about tokens.
package oidc

import (
	"context"
	"fmt"
	"time"

	"agentapi/domain/fault"
	"agentapi/domain/tenancy"
	"agentapi/ports"
)

// Params is what an Identity needs besides its options.
type Params struct {
	Now    func() time.Time
	Report func(issuer string, err error) // keys could not be fetched; nil: they can be again
}

// Identity is a ports.Authenticator of JWTs.
type Identity struct {
	all     []*issuer
	issuers map[string]*issuer // by each of their names
	now     func() time.Time
}

// issuer is one provider and its keys.
type issuer struct {
	Issuer
	keys *keySet
}

// name is what the server calls the issuer, whichever of its names a token has.
func (i *issuer) name() string { return i.Issuer.Issuer[0] }

var _ ports.Authenticator = (*Identity)(nil)

// Open makes an Identity; nothing is fetched before Start or the first token.
func Open(o Options, p Params) (*Identity, error) {
	if err := o.Validate(); err != nil {
		return nil, err
	}
	out := &Identity{issuers: make(map[string]*issuer), now: p.Now}
	for _, entry := range o.Issuers {
		entry = entry.complete()
		one := &issuer{Issuer: entry, keys: newKeySet(newSource(entry), p.Now, func(err error) { p.Report(entry.Issuer[0], err) })}
		out.all = append(out.all, one)
		for _, name := range entry.Issuer {
			out.issuers[name] = one
		}
	}
	return out, nil
}

// Start fetches the keys, so that the first caller need not wait for them. It
// does not wait either: a provider that is away keeps no server from starting.
func (i *Identity) Start(context.Context) error {
	for _, one := range i.all {
		one.keys.mu.Lock()
		one.keys.begin()
		one.keys.mu.Unlock()
	}
	return nil
}

// Stop ends what runs.
func (i *Identity) Stop(context.Context) error {
	for _, one := range i.all {
		one.keys.close()
	}
	return nil
}

// Ready returns nil unless no issuer's tokens can be checked, since none gives keys and
// none has left any that are still good: fault.Unavailable. It asks nobody, and what
// was not tried yet counts as good.
func (i *Identity) Ready() error {
	var first error
	for _, one := range i.all {
		err := one.keys.ready()
		if err == nil {
			return nil
		}
		if first == nil {
			first = err
		}
	}
	return first
}

// Authenticate checks a JWT. Why one is refused is the error's cause, which the
// log sees: to the caller every bad token is the same.
func (i *Identity) Authenticate(ctx context.Context, bearer string) (tenancy.Identity, bool, error) {
	if !isJWT(bearer) {
		return tenancy.Identity{}, false, nil
	}
	parts, err := take(bearer)
	if err != nil {
		return tenancy.Identity{}, false, refused("form", err)
	}
	t := &trial{token: parts, now: i.now()}
	for _, c := range checks() {
		if _, err := c.run(ctx, i, t); fault.Is(err, fault.Unavailable) {
			return tenancy.Identity{}, false, err
		} else if err != nil {
			return tenancy.Identity{}, false, refused(c.name, err)
		}
	}
	return t.who, true, nil
}

func refused(check string, err error) error {
	return fault.New(fault.Unauthenticated, "Incorrect API key provided.").WithCode("invalid_api_key").
		WithHint("The token is not good here, or no more: log in again; agentapi token inspect tells its operator why.").
		WithCause(fmt.Errorf("token refused, %s: %w", check, err))
}

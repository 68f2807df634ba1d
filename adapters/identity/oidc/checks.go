package oidc

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	gooidc "github.com/coreos/go-oidc/v3/oidc"
	"github.com/go-jose/go-jose/v4"

	"agentapi/domain/tenancy"
)

// leeway is how far our clock and a provider's may be apart, either way.
const leeway = time.Minute

// algorithms are the only ones that a signature may be made by.
var algorithms = []string{gooidc.RS256, gooidc.ES256}

// trial is a token while it is checked.
type trial struct {
	*token
	now    time.Time
	issuer *issuer // once it is known
	kid    string  // once the header is good
	who    tenancy.Identity
}

// check is one thing that must be right with a token. What it finds is for the
// log and for token inspect, never for the caller.
type check struct {
	name string
	run  func(ctx context.Context, i *Identity, t *trial) (found string, err error)
}

// checks are made in this order: what costs nothing first, and the one that may
// ask the provider last.
func checks() []check {
	return []check{
		{"header", checkHeader}, {"issuer", checkIssuer}, {"audience", checkAudience},
		{"times", checkTimes}, {"claims", checkClaims}, {"signature", checkSignature},
	}
}

func checkHeader(_ context.Context, _ *Identity, t *trial) (string, error) {
	var bad []error
	refuse := func(format string, args ...any) { bad = append(bad, fmt.Errorf(format, args...)) }
	alg, err := t.header.text("alg")
	if err != nil || !slices.Contains(algorithms, alg) {
		refuse("alg is %.40q; it must be one of %s", alg, strings.Join(algorithms, ", "))
	}
	kid, err := t.header.text("kid")
	if err != nil || kid == "" || len(kid) > maxName {
		refuse("kid is missing, or not a string of a reasonable length")
	}
	typ, err := t.header.text("typ")
	if err != nil || !slices.Contains([]string{"", "jwt", "at+jwt", "application/at+jwt"}, strings.ToLower(typ)) {
		refuse("typ is %.40q; it must be JWT or at+jwt, or absent", typ)
	}
	if name := t.header.has("jku", "jwk", "x5u", "x5c", "crit", "b64", "zip", "enc"); name != "" {
		refuse("%s is not taken: a token does not say which key to believe or how to read it", name)
	}
	if bad != nil {
		return "", errors.Join(bad...)
	}
	t.kid = kid
	return fmt.Sprintf("%s, key %.60q", alg, kid), nil
}

func checkIssuer(_ context.Context, i *Identity, t *trial) (string, error) {
	iss, err := t.payload.text("iss")
	if err != nil {
		return "", err
	}
	if t.issuer = i.issuers[iss]; iss == "" || t.issuer == nil {
		return "", fmt.Errorf("iss is %.200q, which is none of identity.oidc.issuers", iss)
	}
	return iss, nil
}

var errNoIssuer = errors.New("cannot be checked without a known issuer")

func checkAudience(_ context.Context, _ *Identity, t *trial) (string, error) {
	if t.issuer == nil {
		return "", errNoIssuer
	}
	aud, err := t.payload.oneOrMany("aud")
	switch want := t.issuer.Audience; {
	case err != nil:
		return "", err
	case len(want) == 0:
		return "any: none is configured", nil
	case !slices.ContainsFunc(aud, func(a string) bool { return slices.Contains(want, a) }):
		return "", fmt.Errorf("aud is %.200q; it must hold one of %q", aud, want)
	}
	return strings.Join(aud, ", "), nil
}

func checkTimes(_ context.Context, _ *Identity, t *trial) (string, error) {
	exp, err := t.payload.time("exp")
	if err != nil {
		return "", err
	}
	iat, err := t.payload.time("iat")
	if err != nil {
		return "", err
	}
	nbf, err := t.payload.time("nbf")
	if err != nil {
		return "", err
	}
	longest := defaultLifetime
	if t.issuer != nil {
		longest = t.issuer.MaxLifetime
	}
	if exp.IsZero() || iat.IsZero() {
		return "", errors.New("exp and iat must both be there")
	}
	var bad []error
	for _, c := range []struct {
		is   bool
		text string
		args []any
	}{
		{!t.now.Before(exp.Add(leeway)), "it expired at %s", []any{exp.Format(time.RFC3339)}},
		{iat.After(t.now.Add(leeway)), "it is issued in the future, at %s", []any{iat.Format(time.RFC3339)}},
		{nbf.After(t.now.Add(leeway)), "it is not good before %s", []any{nbf.Format(time.RFC3339)}},
		{exp.Before(iat), "it expires before it is issued", nil},
		{exp.Sub(iat) > longest, "it is good for %v; at most %v is taken", []any{exp.Sub(iat), longest}},
	} {
		if c.is {
			bad = append(bad, fmt.Errorf(c.text, c.args...))
		}
	}
	if bad != nil {
		return "", errors.Join(bad...)
	}
	t.who.Expires = exp
	return "good until " + exp.Format(time.RFC3339), nil
}

func checkSignature(ctx context.Context, _ *Identity, t *trial) (string, error) {
	if t.issuer == nil {
		return "", errNoIssuer
	}
	if t.kid == "" {
		return "", errors.New("cannot be checked: the header does not say by which key and how")
	}
	keys, err := t.issuer.keys.find(ctx, t.kid)
	if err != nil {
		return "", err
	}
	// What it says was checked already, more strictly.
	verifier := gooidc.NewVerifier(t.issuer.name(), signers(keys), &gooidc.Config{
		SupportedSigningAlgs: algorithms, SkipClientIDCheck: true, SkipExpiryCheck: true, SkipIssuerCheck: true,
	})
	if _, err := verifier.Verify(ctx, t.raw); err != nil {
		return "", err
	}
	return fmt.Sprintf("made with the issuer's key %.60q", t.kid), nil
}

// signers are the keys that a signature may have been made with.
type signers []key

var _ gooidc.KeySet = signers(nil)

// VerifySignature gives the payload of a token that one of the keys signed, by
// the one algorithm that the key is for.
func (s signers) VerifySignature(_ context.Context, raw string) ([]byte, error) {
	jws, err := jose.ParseSigned(raw, []jose.SignatureAlgorithm{jose.RS256, jose.ES256})
	if err != nil {
		return nil, err
	}
	for _, k := range s {
		if len(jws.Signatures) != 1 || jws.Signatures[0].Header.Algorithm != k.alg {
			continue
		}
		if payload, err := jws.Verify(k.public); err == nil {
			return payload, nil
		}
	}
	return nil, errors.New("it was not made with the issuer's key")
}

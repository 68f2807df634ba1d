package oidc

import (
	"crypto/hmac"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"

	"agentapi/domain/fault"
	"agentapi/domain/tenancy"
	"agentapi/ports/porttest"
)

func TestTheIdentityKeepsThePortsContract(t *testing.T) {
	h, c := newHouse(t), newClock()
	rsa, ec := newRSA(t, "one"), newEC(t, "two")
	h.publish(rsa, ec)
	want := func(role tenancy.Role) tenancy.Identity {
		return tenancy.Identity{Issuer: h.URL, Subject: "user_1", Org: "org_1", Role: role, Method: "oidc", Expires: c.now().Add(5 * time.Minute)}
	}
	porttest.Authenticator(t, porttest.AuthBench{
		Auth: open(t, h, c, nil), Foreign: []string{"sk-agentapi-dev-abc", "a.b.c", part("{}") + ".e30.x"},
		Good: map[string]tenancy.Identity{
			rsa.token(t, h, c.now(), nil): want(tenancy.OrgAdmin),
			ec.token(t, h, c.now(), nil):  want(tenancy.OrgAdmin),
		},
	})
}

func TestRolesComeFromTheClaimsThatAreConfigured(t *testing.T) {
	h, c := newHouse(t), newClock()
	key := newEC(t, "k")
	h.publish(key)
	plain := open(t, h, c, nil)
	mapped := open(t, h, c, func(i *Issuer) {
		i.Claims = Claims{User: "uid", Org: "tenant", Role: "job"}
		i.RoleMap = map[string]string{"boss": "org_owner"}
	})
	for name, x := range map[string]struct {
		with   *Identity
		claims map[string]any
		role   tenancy.Role
		who    string
	}{
		"an organisation's admin is no platform admin":    {plain, map[string]any{"role": "admin"}, tenancy.OrgAdmin, "user_1 org_1"},
		"the strongest of several":                        {plain, map[string]any{"role": "member", "roles": []string{"auditor", "owner"}}, tenancy.OrgOwner, "user_1 org_1"},
		"a role that nobody knows":                        {plain, map[string]any{"role": "platform_admin"}, tenancy.OrgMember, "user_1 org_1"},
		"none":                                            {plain, map[string]any{"role": nil}, tenancy.OrgMember, "user_1 org_1"},
		"the permission makes a platform admin":           {plain, map[string]any{"permissions": []string{"a", "platform:admin"}}, tenancy.PlatformAdmin, "user_1 org_1"},
		"other names":                                     {mapped, map[string]any{"uid": "u", "tenant": "t", "job": "boss"}, tenancy.OrgOwner, "u t"},
		"a map of one's own replaces the one that is had": {mapped, map[string]any{"uid": "u", "tenant": "t", "job": "admin"}, tenancy.OrgMember, "u t"},
	} {
		who, ok, err := x.with.Authenticate(t.Context(), key.token(t, h, c.now(), x.claims))
		if err != nil || !ok || who.Role != x.role || who.Subject+" "+who.Org != x.who {
			t.Errorf("%s: got %+v, %v, %v", name, who, ok, err)
		}
	}
}

// forgeries are tokens that must not be taken, by what is wrong with each.
func forgeries(t *testing.T, h *house, c *clock, key signer) map[string]string {
	now, good := c.now(), key.token(t, h, c.now(), nil)
	with := func(name string, value any) string { return key.token(t, h, now, map[string]any{name: value}) }
	header := func(members map[jose.HeaderKey]any) string {
		payload, err := base64.RawURLEncoding.DecodeString(strings.Split(good, ".")[1])
		if err != nil {
			t.Fatal(err)
		}
		return key.sign(t, string(payload), members)
	}
	out := map[string]string{
		"a foreign issuer":         with("iss", "https://elsewhere.example"),
		"no issuer":                with("iss", nil),
		"a list of issuers":        with("iss", []string{h.URL}),
		"no subject":               with("sub", nil),
		"an empty subject":         with("sub", ""),
		"a subject of digits":      with("sub", 1),
		"a subject with a control": with("sub", "a\x00b"),
		"no end":                   with("exp", nil),
		"an end as text":           with("exp", fmt.Sprint(now.Add(time.Minute).Unix())),
		"no beginning":             with("iat", nil),
		"expired":                  key.token(t, h, now.Add(-6*time.Minute), nil),
		"issued in the future":     key.token(t, h, now.Add(2*time.Minute), nil),
		"not good yet":             with("nbf", now.Add(2*time.Minute).Unix()),
		"good for too long":        with("exp", now.Add(25*time.Hour).Unix()),
		"good for ever":            with("exp", 1e300),
		"ended before its start":   key.token(t, h, now, map[string]any{"iat": now.Add(50 * time.Second).Unix(), "exp": now.Unix()}),
		"roles as text":            with("roles", "admin"),
		"roles of numbers":         with("roles", []int{1}),
		"a role as a list":         with("role", []string{"admin"}),
		"permissions as text":      with("permissions", "platform:admin"),
		"an organisation's number": with("org_id", 7),

		"no kid":                 header(map[jose.HeaderKey]any{"typ": "JWT"}),
		"an unknown kid":         header(map[jose.HeaderKey]any{"kid": "nobody"}),
		"a kid that is a path":   header(map[jose.HeaderKey]any{"kid": "../../" + key.kid}),
		"an empty kid":           header(map[jose.HeaderKey]any{"kid": ""}),
		"a kid in another case":  header(map[jose.HeaderKey]any{"kid": strings.ToUpper(key.kid)}),
		"a kid that is a number": swap(good, 0, part(`{"alg":"RS256","kid":7}`)),
		"a key of its own":       header(map[jose.HeaderKey]any{"kid": key.kid, "jwk": key.public()}),
		"an address of keys":     header(map[jose.HeaderKey]any{"kid": key.kid, "jku": h.URL + "/jwks"}),
		"a certificate's":        header(map[jose.HeaderKey]any{"kid": key.kid, "x5u": h.URL}),
		"a demand":               swap(good, 0, part(`{"alg":"RS256","kid":"`+key.kid+`","crit":["exp"]}`)),
		"another type":           header(map[jose.HeaderKey]any{"kid": key.kid, "typ": "logout+jwt"}),
		"alg none":               part(`{"alg":"none","kid":"`+key.kid+`"}`) + "." + strings.Split(good, ".")[1] + ".",
		"alg nOnE":               part(`{"alg":"nOnE","kid":"`+key.kid+`"}`) + "." + strings.Split(good, ".")[1] + ".",
		"no signature":           swap(good, 2, ""),
		"another's signature":    swap(good, 2, strings.Split(newRSA(t, key.kid).token(t, h, now, nil), ".")[2]),
		"another's key":          newRSA(t, key.kid).token(t, h, now, nil),
		"another kind of key":    newEC(t, key.kid).token(t, h, now, nil),
		"a changed claim":        swap(good, 1, part(strings.Replace(decoded(t, good), "user_1", "user_2", 1))),
		"RS256 said to be RS512": swap(good, 0, part(`{"alg":"RS512","kid":"`+key.kid+`"}`)),

		"a duplicate subject": key.sign(t, strings.Replace(decoded(t, good), "{", `{"sub":"user_0",`, 1), map[jose.HeaderKey]any{"kid": key.kid}),
		"a duplicate deep in": key.sign(t, strings.Replace(decoded(t, good), "{", `{"x":{"a":1,"a":2},`, 1), map[jose.HeaderKey]any{"kid": key.kid}),
		"data behind":         key.sign(t, decoded(t, good)+"{}", map[jose.HeaderKey]any{"kid": key.kid}),
		"a list of claims":    key.sign(t, `["sub"]`, map[jose.HeaderKey]any{"kid": key.kid}),
		"no claims":           key.sign(t, ``, map[jose.HeaderKey]any{"kid": key.kid}),
		"a duplicate alg":     swap(good, 0, part(`{"alg":"RS256","alg":"none","kid":"`+key.kid+`"}`)),
		"padding":             good + "==",
		"too long":            key.token(t, h, now, map[string]any{"x": strings.Repeat("x", maxToken)}),
	}
	public, err := x509.MarshalPKIXPublicKey(key.private.Public())
	if err != nil {
		t.Fatal(err)
	}
	jwk, err := json.Marshal(key.public())
	if err != nil {
		t.Fatal(err)
	}
	for name, secret := range map[string][]byte{
		"HS256 with the public key as PEM": pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: public}),
		"HS256 with the public key as DER": public, "HS256 with the public key as JWK": jwk, "HS256 with nothing": nil,
	} {
		text := part(`{"alg":"HS256","typ":"JWT","kid":"`+key.kid+`"}`) + "." + strings.Split(good, ".")[1]
		mac := hmac.New(sha256.New, secret)
		mac.Write([]byte(text))
		out[name] = text + "." + base64.RawURLEncoding.EncodeToString(mac.Sum(nil))
	}
	return out
}

func decoded(t *testing.T, token string) string {
	t.Helper()
	text, err := base64.RawURLEncoding.DecodeString(strings.Split(token, ".")[1])
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

func TestNoForgeryIsTaken(t *testing.T) {
	h, c := newHouse(t), newClock()
	key := newRSA(t, "key-a")
	h.publish(key)
	i := open(t, h, c, nil)
	if _, ok, err := i.Authenticate(t.Context(), key.token(t, h, c.now(), nil)); !ok || err != nil {
		t.Fatalf("the good one: %v", err)
	}
	for name, forged := range forgeries(t, h, c, key) {
		who, ok, err := i.Authenticate(t.Context(), forged)
		if ok || who != (tenancy.Identity{}) || (err != nil && !fault.Is(err, fault.Unauthenticated)) {
			t.Errorf("%s: got %+v, %v, %v", name, who, ok, err)
		}
		if err != nil && fault.As(err).Message != "Incorrect API key provided." {
			t.Errorf("%s: its caller is told why: %s", name, fault.As(err).Message)
		}
		if taken := !refusedSomewhere(i.Inspect(t.Context(), forged)); taken {
			t.Errorf("%s: inspect finds nothing wrong", name)
		}
	}
}

func refusedSomewhere(all []Verdict) bool {
	for _, v := range all {
		if v.Err != nil {
			return true
		}
	}
	return false
}

func TestClocksMayDifferByAMinute(t *testing.T) {
	h, c := newHouse(t), newClock()
	key := newEC(t, "k")
	h.publish(key)
	i := open(t, h, c, nil)
	for _, x := range []struct {
		from time.Duration // of the token's beginning, from now; it is good for five minutes
		ok   bool
	}{{-6*time.Minute + time.Second, true}, {-6 * time.Minute, false}, {time.Minute, true}, {61 * time.Second, false}} {
		if _, ok, err := i.Authenticate(t.Context(), key.token(t, h, c.now().Add(x.from), nil)); ok != x.ok {
			t.Errorf("%v: got %v, %v", x.from, ok, err)
		}
	}
}

func TestAnAudienceIsHeldToWhereOneIsConfigured(t *testing.T) {
	h, c := newHouse(t), newClock()
	key := newEC(t, "k")
	h.publish(key)
	i := open(t, h, c, func(i *Issuer) { i.Audience = Names{"api", "api-2"} })
	for name, x := range map[string]struct {
		aud any
		ok  bool
	}{
		"one": {"api", true}, "a list": {[]string{"x", "api-2"}, true}, "another": {"x", false}, "none": {nil, false},
		"an empty list": {[]string{}, false}, "a number": {7, false}, "part of one": {"ap", false},
	} {
		if _, ok, err := i.Authenticate(t.Context(), key.token(t, h, c.now(), map[string]any{"aud": x.aud})); ok != x.ok {
			t.Errorf("%s: got %v, %v", name, ok, err)
		}
	}
}

func TestUnsafeOptionsAreRefused(t *testing.T) {
	for name, entry := range map[string]Issuer{
		"no issuer":                        {JWKSURL: "https://a.example/jwks"},
		"http elsewhere":                   {Issuer: Names{"http://a.example"}},
		"keys by http from elsewhere":      {Issuer: Names{"https://a.example"}, JWKSURL: "http://a.example/jwks"},
		"several names and no jwks_url":    {Issuer: Names{"https://a.example", "https://b.example"}},
		"a role that is none":              {Issuer: Names{"https://a.example"}, RoleMap: map[string]string{"admin": "root"}},
		"a role that makes platform admin": {Issuer: Names{"https://a.example"}, RoleMap: map[string]string{"admin": "platform_admin"}},
		"an address that looks like ours":  {Issuer: Names{"http://127.0.0.1.example"}},
		"an empty audience":                {Issuer: Names{"https://a.example"}, Audience: Names{""}},
	} {
		o := Options{Issuers: []Issuer{entry}}
		if err := o.Validate(); !fault.Is(err, fault.Invalid) {
			t.Errorf("%s: got %v", name, err)
		}
	}
	twice := Options{Issuers: []Issuer{{Issuer: Names{"https://a.example"}}, {Issuer: Names{"https://a.example"}}}}
	if twice.Validate() == nil || (&Options{}).Validate() == nil {
		t.Error("an issuer twice, or none, were taken")
	}
}

func TestAnAddressCountsWhereItIsVerified(t *testing.T) {
	h, c := newHouse(t), newClock()
	key := newEC(t, "k")
	h.publish(key)
	i := open(t, h, c, nil)
	for name, x := range map[string]struct {
		email, verified any
		want            string
	}{
		"verified": {"Ann@example.com", true, "Ann@example.com"}, "not verified": {"ann@example.com", false, ""}, "not said": {"ann@example.com", nil, ""},
		"a text": {"ann@example.com", "true", ""}, "a number": {"ann@example.com", 1, ""}, "a list": {"ann@example.com", []bool{true}, ""},
		"none": {nil, true, ""}, "no address": {"ann", true, ""}, "several": {[]string{"ann@example.com"}, true, ""},
	} {
		who, ok, err := i.Authenticate(t.Context(), key.token(t, h, c.now(), map[string]any{"email": x.email, "email_verified": x.verified}))
		if !ok || err != nil || who.Email != x.want {
			t.Errorf("%s: got %q, %v, %v", name, who.Email, ok, err)
		}
	}
	own := open(t, h, c, func(i *Issuer) { i.Claims.Email, i.Claims.Verified = "mail", "sure" })
	who, _, err := own.Authenticate(t.Context(), key.token(t, h, c.now(), map[string]any{"mail": "ann@example.com", "sure": true, "email": "eve@example.com", "email_verified": true}))
	if err != nil || who.Email != "ann@example.com" {
		t.Errorf("by other names: got %q, %v", who.Email, err)
	}
}

package oidc

import (
	"context"
	"crypto/rand"
	"crypto/subtle"
	"encoding/base64"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"
	"unicode"

	gooidc "github.com/coreos/go-oidc/v3/oidc"
	"golang.org/x/oauth2"

	"agentapi/domain/fault"
)

// Login names a provider, and as which of its clients people log in. The client
// is a public one: it has no secret.
type Login struct {
	Issuer   string
	ClientID string
	Audience string   // whom the token shall be meant for; empty: not said
	Scopes   []string // besides openid
}

// Token is a credential that a login gave.
type Token struct {
	Raw     string
	Expires time.Time // zero: not known
}

// Client logs a person in. Its errors are fault.Unavailable where the provider
// does not answer, fault.Timeout where the person did not in time, fault.Forbidden
// where the login was refused, fault.Unsupported where the provider cannot do it,
// and fault.Upstream where its answer is not to be trusted. None quotes a token.
type Client struct {
	login    Login
	oauth    oauth2.Config
	verifier *gooidc.IDTokenVerifier
	http     *http.Client
	said     metadata
}

// metadata is what a provider says of itself, beyond what the libraries read.
type metadata struct {
	Challenges []string `json:"code_challenge_methods_supported"`
	NamesSelf  bool     `json:"authorization_response_iss_parameter_supported"`
}

// Dial asks the provider where its endpoints are.
func Dial(ctx context.Context, l Login) (*Client, error) {
	if !safeURL(l.Issuer) {
		return nil, fault.Invalidf("issuer", "invalid_value", "The issuer %s is no https:// address.", plain(l.Issuer))
	}
	c := &Client{login: l, http: newSource(Issuer{Issuer: Names{l.Issuer}}).client}
	ctx, cancel := context.WithTimeout(c.context(ctx), fetchLimit)
	defer cancel()
	p, err := gooidc.NewProvider(ctx, l.Issuer)
	if err != nil {
		return nil, fault.Wrap(fault.Unavailable, err, "The provider %s does not say how to log in there: it has no usable /.well-known/openid-configuration.", plain(l.Issuer))
	}
	if err := p.Claims(&c.said); err != nil {
		return nil, fault.Wrap(fault.Upstream, err, "The provider %s describes itself wrongly.", plain(l.Issuer))
	}
	at := p.Endpoint()
	at.AuthStyle = oauth2.AuthStyleInParams // there is no secret, and a code is good for one try
	for _, endpoint := range []string{at.AuthURL, at.TokenURL, at.DeviceAuthURL} {
		if endpoint != "" && !safeURL(endpoint) {
			return nil, fault.New(fault.Upstream, "The provider's endpoint %s is no https:// address.", plain(endpoint))
		}
	}
	c.oauth = oauth2.Config{ClientID: l.ClientID, Endpoint: at, Scopes: []string{gooidc.ScopeOpenID}}
	for _, s := range l.Scopes {
		if !slices.Contains(c.oauth.Scopes, s) {
			c.oauth.Scopes = append(c.oauth.Scopes, s)
		}
	}
	c.verifier = p.Verifier(&gooidc.Config{ClientID: l.ClientID})
	return c, nil
}

// HasDevice tells whether the provider lets people log in on another device.
func (c *Client) HasDevice() bool { return c.oauth.Endpoint.DeviceAuthURL != "" }

// context has the libraries ask with a client that bounds answers.
func (c *Client) context(ctx context.Context) context.Context {
	return gooidc.ClientContext(ctx, c.http)
}

// meant says whom the token shall be for: by RFC 8707, and as those providers
// want it that are older.
func (c *Client) meant() (out []oauth2.AuthCodeOption) {
	if c.login.Audience == "" {
		return nil
	}
	out = append(out, oauth2.SetAuthURLParam("audience", c.login.Audience))
	if u, err := url.Parse(c.login.Audience); err == nil && u.IsAbs() && u.Fragment == "" {
		out = append(out, oauth2.SetAuthURLParam("resource", c.login.Audience))
	}
	return out
}

// accept takes a provider's token answer: its ID token must be for this login,
// where there is one; it must be there where nonce is not empty. The access token
// is the credential where it is a JWT, else the ID token is.
func (c *Client) accept(ctx context.Context, got *oauth2.Token, nonce string) (Token, error) {
	var (
		out   = Token{got.AccessToken, got.Expiry}
		id, _ = got.Extra("id_token").(string)
	)
	if id == "" && nonce != "" {
		return Token{}, fault.New(fault.Upstream, "The provider gives no ID token, so nothing shows that its answer is meant for this login.")
	}
	if id != "" {
		verified, err := c.verifier.Verify(ctx, id)
		switch {
		case err != nil:
			return Token{}, fault.New(fault.Upstream, "The provider's ID token is not good: %s.", plain(err.Error()))
		case nonce != "" && subtle.ConstantTimeCompare([]byte(verified.Nonce), []byte(nonce)) != 1:
			return Token{}, fault.New(fault.Upstream, "The provider's ID token is meant for another login: its nonce is not ours.")
		case verified.AccessTokenHash != "" && verified.VerifyAccessToken(got.AccessToken) != nil:
			return Token{}, fault.New(fault.Upstream, "The provider's access token does not belong to its ID token.")
		case !isJWT(got.AccessToken):
			out = Token{id, verified.Expiry}
		}
	}
	if !isJWT(out.Raw) {
		return Token{}, fault.New(fault.Upstream, "The provider gives no token that can be checked: neither its access token nor an ID token is a JWT.").
			WithHint("Register the server's audience as an API at the provider, so that access tokens for it are JWTs.")
	}
	return out, nil
}

// failed says why a request for a token failed, by what is safe to show.
func failed(ctx context.Context, err error) error {
	var r *oauth2.RetrieveError
	switch {
	case errors.Is(ctx.Err(), context.DeadlineExceeded):
		return tooLate()
	case ctx.Err() != nil:
		return fault.New(fault.Canceled, "The login was interrupted.")
	case errors.As(err, &r) && r.ErrorCode != "":
		return refusedBy(r.ErrorCode, r.ErrorDescription)
	case errors.As(err, &r):
		return fault.New(fault.Upstream, "The provider answers %d to the request for a token.", r.Response.StatusCode)
	default:
		return fault.New(fault.Unavailable, "The provider cannot be asked for a token: %s.", plain(err.Error()))
	}
}

func tooLate() error { return fault.New(fault.Timeout, "Nobody has logged in in time.") }

// refusedBy is a provider's refusal in its own words.
func refusedBy(code, description string) error {
	text := "The provider refuses the login: " + plain(code)
	if description != "" {
		text += ": " + plain(description)
	}
	return fault.New(fault.Forbidden, "%s", strings.TrimSuffix(text, ".")+".").WithCode(plain(code))
}

// plain is a text of others' without what would steer a terminal, and not long.
func plain(s string) string {
	s = strings.Map(func(r rune) rune {
		if unicode.IsPrint(r) && !unicode.Is(unicode.Bidi_Control, r) {
			return r
		}
		return '\ufffd'
	}, s)
	return fmt.Sprintf("%.200s", s)
}

// unguessable is a text that nobody else can know.
func unguessable() string {
	var b [32]byte
	rand.Read(b[:])
	return base64.RawURLEncoding.EncodeToString(b[:])
}

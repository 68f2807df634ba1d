package oidc

import (
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"

	"agentapi/domain/tenancy"
	"agentapi/test/kit"
)

// certified is a certified provider in its real version.
type certified struct{ *kit.Certified }

// keySetOf is the keys as a provider has them.
func keySetOf(keys ...signer) (set jose.JSONWebKeySet) {
	for _, k := range keys {
		set.Keys = append(set.Keys, jose.JSONWebKey{Key: k.private, KeyID: k.kid, Use: "sig", Algorithm: string(k.alg)})
	}
	return set
}

// login gives a robot's access token.
func (p certified) login(t *testing.T) string {
	t.Helper()
	form := url.Values{"grant_type": {"client_credentials"}, "scope": {"chat"}}
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, p.URL+"/token", strings.NewReader(form.Encode()))
	if err != nil {
		t.Fatal(err)
	}
	req.SetBasicAuth("robot", "robots-secret")
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	var got struct {
		Token string `json:"access_token"`
	}
	if json.Unmarshal(text, &got) != nil || got.Token == "" {
		t.Fatalf("no token: %s %s", resp.Status, text)
	}
	return got.Token
}

func TestACertifiedProvidersTokensAreTaken(t *testing.T) {
	old, next := newRSA(t, "old"), newRSA(t, "next")
	p := certified{kit.NewCertified(t, keySetOf(old))}
	c := newClock()
	c.at.Store(time.Now().UnixNano()) // the provider's clock is the real one
	i, err := Open(Options{Issuers: []Issuer{{Issuer: Names{p.URL}, Audience: Names{"https://agents.example"}}}}, Params{Now: c.now, Report: func(string, error) {}})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = i.Stop(t.Context()) }()

	first := p.login(t)
	who, ok, err := i.Authenticate(t.Context(), first)
	if err != nil || !ok || who.Subject != "robot" || who.Org != "org_1" || who.Role != tenancy.OrgAdmin || who.Issuer != p.URL {
		t.Fatalf("got %+v, %v, %v", who, ok, err)
	}
	p.Rotate(t, keySetOf(next, old))
	c.pass(minInterval)
	if got := outcome(t, i, p.login(t)); got != "taken" {
		t.Errorf("a token of the new key: %s", got)
	}
	if got := outcome(t, i, first); got != "taken" {
		t.Errorf("one of the old key: %s", got)
	}
	p.Rotate(t, keySetOf(next))
	c.pass(maxAge)
	house := &house{Server: &httptest.Server{URL: p.URL}}
	late := map[string]any{"aud": "https://agents.example"}
	if got := outcome(t, i, old.token(t, house, c.now(), late)); got != "refused" {
		t.Errorf("one of the removed key: %s", got)
	}
	if got := outcome(t, i, next.token(t, house, c.now(), late)); got != "taken" {
		t.Errorf("one of the key that stays: %s", got)
	}
}

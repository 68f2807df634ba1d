package oidc

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"encoding/base64"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) {
	goleak.VerifyTestMain(m, goleak.IgnoreAnyFunction("net/http.(*persistConn).readLoop"), goleak.IgnoreAnyFunction("net/http.(*persistConn).writeLoop"))
}

// clock is a time that a test sets.
type clock struct{ at atomic.Int64 }

func newClock() *clock {
	c := &clock{}
	c.at.Store(time.Date(2026, 6, 1, 12, 0, 0, 0, time.UTC).UnixNano())
	return c
}

func (c *clock) now() time.Time        { return time.Unix(0, c.at.Load()).UTC() }
func (c *clock) pass(by time.Duration) { c.at.Add(int64(by)) }

// house is a provider on loopback that can be made to fail.
type house struct {
	*httptest.Server
	fetches atomic.Int64 // of keys

	mu     sync.Mutex
	keys   []jose.JSONWebKey
	answer http.HandlerFunc // instead of the keys
	names  string           // the issuer that discovery names, if not its own
}

func newHouse(t testing.TB) *house {
	h := &house{}
	h.Server = httptest.NewServer(http.HandlerFunc(h.serve))
	t.Cleanup(h.Close)
	return h
}

func (h *house) serve(w http.ResponseWriter, r *http.Request) {
	h.mu.Lock()
	keys, answer, names := h.keys, h.answer, h.names
	h.mu.Unlock()
	if r.URL.Path == "/.well-known/openid-configuration" {
		if names == "" {
			names = h.URL
		}
		_ = json.NewEncoder(w).Encode(map[string]string{"issuer": names, "jwks_uri": h.URL + "/jwks"})
		return
	}
	h.fetches.Add(1)
	if answer != nil {
		answer(w, r)
		return
	}
	_ = json.NewEncoder(w).Encode(jose.JSONWebKeySet{Keys: keys})
}

// set changes what the house gives.
func (h *house) set(change func(*house)) {
	h.mu.Lock()
	defer h.mu.Unlock()
	change(h)
}

// signer is a private key of a house.
type signer struct {
	kid     string
	private crypto.Signer
	alg     jose.SignatureAlgorithm
}

func newRSA(t testing.TB, kid string) signer {
	t.Helper()
	k, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	return signer{kid, k, jose.RS256}
}

func newEC(t testing.TB, kid string) signer {
	t.Helper()
	k, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return signer{kid, k, jose.ES256}
}

func (s signer) public() jose.JSONWebKey {
	return jose.JSONWebKey{Key: s.private.Public(), KeyID: s.kid, Use: "sig", Algorithm: string(s.alg)}
}

// publish makes these the house's keys.
func (h *house) publish(all ...signer) {
	h.set(func(h *house) {
		h.keys = nil
		for _, s := range all {
			h.keys = append(h.keys, s.public())
		}
	})
}

// sign signs a payload as it is, under a header with these members besides alg.
func (s signer) sign(t testing.TB, payload string, header map[jose.HeaderKey]any) string {
	t.Helper()
	options := &jose.SignerOptions{ExtraHeaders: header}
	made, err := jose.NewSigner(jose.SigningKey{Algorithm: s.alg, Key: s.private}, options)
	if err != nil {
		t.Fatal(err)
	}
	jws, err := made.Sign([]byte(payload))
	if err != nil {
		t.Fatal(err)
	}
	text, err := jws.CompactSerialize()
	if err != nil {
		t.Fatal(err)
	}
	return text
}

// token is a good token, but for what claims say.
func (s signer) token(t testing.TB, h *house, at time.Time, claims map[string]any) string {
	t.Helper()
	all := map[string]any{
		"iss": h.URL, "sub": "user_1", "org_id": "org_1", "role": "admin", "sid": "session_1", "jti": "1",
		"iat": at.Unix(), "exp": at.Add(5 * time.Minute).Unix(),
	}
	for name, v := range claims {
		if all[name] = v; v == nil {
			delete(all, name)
		}
	}
	text, err := json.Marshal(all)
	if err != nil {
		t.Fatal(err)
	}
	return s.sign(t, string(text), map[jose.HeaderKey]any{"kid": s.kid, "typ": "JWT"})
}

func open(t testing.TB, h *house, c *clock, change func(*Issuer)) *Identity {
	t.Helper()
	entry := Issuer{Issuer: Names{h.URL}, JWKSURL: h.URL + "/jwks"}
	if change != nil {
		change(&entry)
	}
	i, err := Open(Options{Issuers: []Issuer{entry}}, Params{Now: c.now, Report: func(string, error) {}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = i.Stop(t.Context()) })
	return i
}

// part is base64url of a text.
func part(s string) string { return base64.RawURLEncoding.EncodeToString([]byte(s)) }

// swap replaces a token's part.
func swap(token string, n int, by string) string {
	parts := strings.Split(token, ".")
	parts[n] = by
	return strings.Join(parts, ".")
}

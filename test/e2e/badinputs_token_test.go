package e2e

import (
	"bytes"
	"crypto"
	"crypto/hmac"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"
)

// recipe says how a token of the corpus is made: what differs from a good one.
type recipe struct {
	Header, Claims map[string]any
	Alg            string
	Key            *string // absent: the issuer's
	Signature      *string
	Mutate         string
	Repeat         int
	Raw            string `json:"raw_payload"`
}

// mint is an issuer whose keys a test has, so that it can sign what no provider would.
type mint struct {
	*httptest.Server
	fetches  atomic.Int32 // of its keys
	own, foe *rsa.PrivateKey
}

func newMint(t *testing.T) *mint {
	t.Helper()
	m := &mint{own: newKeyPair(t), foe: newKeyPair(t)}
	other := newKeyPair(t)
	m.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		m.fetches.Add(1)
		_ = json.NewEncoder(w).Encode(jose.JSONWebKeySet{Keys: []jose.JSONWebKey{
			{Key: m.own.Public(), KeyID: "k", Use: "sig"}, {Key: other.Public(), KeyID: "other", Use: "sig"},
		}}) // the server reads it or has left
	}))
	t.Cleanup(m.Close)
	return m
}

func newKeyPair(t *testing.T) *rsa.PrivateKey {
	t.Helper()
	k, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	return k
}

// token makes a token by a recipe; of the empty one it is good. places fills in
// what the corpus leaves open.
func (m *mint) token(t *testing.T, r *recipe, places *strings.Replacer) string {
	t.Helper()
	now := time.Now()
	payload := map[string]any{"iss": m.URL, "aud": "agentapi", "sub": "user_a", "org_id": "org_a", "iat": now.Unix(), "exp": now.Add(5 * time.Minute).Unix()}
	good := m.part(t, payload, nil, places, now)
	body := m.part(t, payload, r.Claims, places, now)
	if r.Raw != "" {
		body = base64.RawURLEncoding.EncodeToString([]byte(places.Replace(r.Raw)))
	}
	alg := r.Alg
	if alg == "" {
		alg = "RS256"
	}
	head := m.part(t, map[string]any{"alg": alg, "kid": "k", "typ": "JWT"}, r.Header, places, now)
	signed := head + "." + body
	if r.Mutate == "swap_payload" {
		signed = head + "." + good
	}
	signature := m.sign(t, alg, r.Key, []byte(signed))
	if r.Mutate == "zero_signature" {
		signature = make([]byte, len(signature))
	}
	if r.Signature != nil {
		return head + "." + body + "." + *r.Signature
	}
	return head + "." + body + "." + base64.RawURLEncoding.EncodeToString(signature)
}

// part is a part of a token: what is usual, but for what over says; null takes a
// member away.
func (m *mint) part(t *testing.T, usual, over map[string]any, places *strings.Replacer, now time.Time) string {
	t.Helper()
	all := map[string]any{}
	for _, from := range []map[string]any{usual, over} {
		for k, v := range from {
			switch text, _ := v.(string); {
			case v == nil:
				delete(all, k)
			case text == "attacker_public_jwk":
				all[k] = jose.JSONWebKey{Key: m.foe.Public(), KeyID: "k"}
			case strings.HasPrefix(text, "now"):
				by, err := strconv.Atoi(strings.TrimPrefix(text, "now"))
				if err != nil {
					t.Fatal(err)
				}
				all[k] = now.Unix() + int64(by)
			case text != "":
				all[k] = places.Replace(text)
			default:
				all[k] = v
			}
		}
	}
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	if err := e.Encode(all); err != nil {
		t.Fatal(err)
	}
	return base64.RawURLEncoding.EncodeToString(bytes.TrimSpace(b.Bytes()))
}

// sign makes a signature by what the algorithm says, with a key of that name.
func (m *mint) sign(t *testing.T, alg string, name *string, text []byte) (out []byte) {
	t.Helper()
	hash, key := sha256.Sum256(text), m.own
	var err error
	switch {
	case alg == "HS256":
		secret := []byte(*name)
		if *name == "pem_of_public_key" {
			der, err := x509.MarshalPKIXPublicKey(m.own.Public())
			if err != nil {
				t.Fatal(err)
			}
			secret = pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der})
		}
		h := hmac.New(sha256.New, secret)
		h.Write(text)
		return h.Sum(nil)
	case name != nil && *name == "attacker":
		key = m.foe
	case name != nil:
		t.Fatalf("there is no key %q", *name)
	}
	if alg == "PS256" {
		out, err = rsa.SignPSS(rand.Reader, key, crypto.SHA256, hash[:], nil)
	} else {
		out, err = rsa.SignPKCS1v15(nil, key, crypto.SHA256, hash[:])
	}
	if err != nil {
		t.Fatal(err)
	}
	return out
}

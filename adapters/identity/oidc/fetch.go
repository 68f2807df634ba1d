package oidc

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rsa"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"time"

	gooidc "github.com/coreos/go-oidc/v3/oidc"
	"github.com/go-jose/go-jose/v4"
)

// What is taken of a provider.
const (
	fetchLimit = 3 * time.Second // for discovery and keys together
	maxAnswer  = 1 << 20
	maxSameKid = 4    // keys under one name; each is tried on a signature
	minRSA     = 2048 // bits
)

// key is one of a provider's keys that signatures are made with.
type key struct {
	alg    string
	public any
}

// source is where a provider's keys come from.
type source struct {
	client *http.Client
	issuer string // that is asked where the keys are, if jwks is empty
	jwks   string
}

func newSource(i Issuer) *source {
	return &source{issuer: i.Issuer[0], jwks: i.JWKSURL, client: &http.Client{
		Transport: bounded{http.DefaultTransport},
		CheckRedirect: func(r *http.Request, via []*http.Request) error {
			if len(via) > 3 || !safeURL(r.URL.String()) {
				return errors.New("it redirects too often or to an unsafe address")
			}
			return nil
		},
	}}
}

// bounded cuts answers that are too long, whoever reads them.
type bounded struct{ next http.RoundTripper }

func (b bounded) RoundTrip(r *http.Request) (*http.Response, error) {
	resp, err := b.next.RoundTrip(r)
	if err == nil {
		resp.Body = &boundedBody{ReadCloser: resp.Body, left: maxAnswer}
	}
	return resp, err
}

type boundedBody struct {
	io.ReadCloser
	left int
}

func (b *boundedBody) Read(p []byte) (int, error) {
	n, err := b.ReadCloser.Read(p)
	if b.left -= n; b.left < 0 {
		return 0, fmt.Errorf("the answer is longer than %d bytes", maxAnswer)
	}
	return n, err
}

// where gives the address of the keys.
func (s *source) where(ctx context.Context) (string, error) {
	if s.jwks != "" {
		return s.jwks, nil
	}
	provider, err := gooidc.NewProvider(gooidc.ClientContext(ctx, s.client), s.issuer)
	if err != nil {
		return "", fmt.Errorf("discovery at %s: %w", s.issuer, err)
	}
	var said struct {
		JWKS string `json:"jwks_uri"`
	}
	if err := provider.Claims(&said); err != nil {
		return "", fmt.Errorf("discovery at %s: %w", s.issuer, err)
	}
	if !safeURL(said.JWKS) {
		return "", fmt.Errorf("discovery at %s: its jwks_uri %.200q is not an https:// address", s.issuer, said.JWKS)
	}
	return said.JWKS, nil
}

// fetch asks the provider for its keys.
func (s *source) fetch(ctx context.Context) (map[string][]key, error) {
	ctx, cancel := context.WithTimeout(ctx, fetchLimit)
	defer cancel()
	at, err := s.where(ctx)
	if err != nil {
		return nil, err
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, at, nil)
	if err != nil {
		return nil, err
	}
	resp, err := s.client.Do(req)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("%s answers %s", at, resp.Status)
	}
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", at, err)
	}
	keys, err := parseKeys(text)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", at, err)
	}
	return keys, nil
}

// parseKeys reads a key set. Keys that are of no use here, or of a kind that is
// not known, are passed over.
func parseKeys(text []byte) (map[string][]key, error) {
	var set struct {
		Keys []json.RawMessage `json:"keys"`
	}
	if err := json.Unmarshal(text, &set); err != nil {
		return nil, fmt.Errorf("it gives no key set: %w", err)
	}
	out := make(map[string][]key)
	for _, raw := range set.Keys {
		var k jose.JSONWebKey
		if k.UnmarshalJSON(raw) != nil || k.KeyID == "" || len(out[k.KeyID]) == maxSameKid || (k.Use != "" && k.Use != "sig") {
			continue
		}
		if alg := algorithm(k.Key); alg != "" && (k.Algorithm == "" || k.Algorithm == alg) {
			out[k.KeyID] = append(out[k.KeyID], key{alg, k.Key})
		}
	}
	if len(out) == 0 {
		return nil, errors.New("it gives no key for RS256 or ES256 that has a kid")
	}
	return out, nil
}

// algorithm is what a public key's signatures are made by here, or empty.
func algorithm(public any) string {
	switch k := public.(type) {
	case *rsa.PublicKey:
		if k.N.BitLen() >= minRSA {
			return gooidc.RS256
		}
	case *ecdsa.PublicKey:
		if k.Curve == elliptic.P256() {
			return gooidc.ES256
		}
	}
	return ""
}

package oidc

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"errors"
	"maps"
	"slices"
	"time"

	"github.com/go-jose/go-jose/v4"

	"agentapi/ports"
)

// cacheLimit is how long the cache may take: it is asked while callers wait.
const cacheLimit = 500 * time.Millisecond

// shared is a provider's keys in the cache, so that a server which starts while
// the provider is away has what others, or it itself before, have fetched. They
// are sealed: whoever can only write to the cache makes no key of a provider's.
type shared struct {
	cache ports.Cache
	name  string
	seal  func(text []byte) []byte
	now   func() time.Time
}

// Share keeps fetched keys in a cache, under a seal that only servers of this
// deployment can make. Call it before Start.
func (i *Identity) Share(cache ports.Cache, seal func(text []byte) []byte) {
	for _, one := range i.all {
		whose := sha256.Sum256([]byte(one.name() + "\x00" + one.JWKSURL))
		one.keys.shared = &shared{cache: cache, name: "oidc/keys/" + hex.EncodeToString(whose[:]), seal: seal, now: i.now}
	}
}

// put keeps keys that were fetched at a time, for as long as they may be used
// where newer cannot be had. Where the cache is away, nothing is kept.
func (s *shared) put(ctx context.Context, keys map[string][]key, got time.Time) {
	if s == nil {
		return
	}
	var set jose.JSONWebKeySet
	for _, kid := range slices.Sorted(maps.Keys(keys)) {
		for _, k := range keys[kid] {
			set.Keys = append(set.Keys, jose.JSONWebKey{Key: k.public, KeyID: kid, Algorithm: k.alg, Use: "sig"})
		}
	}
	text, err := json.Marshal(set)
	if err != nil {
		return // they came from JSON
	}
	text = append(binary.BigEndian.AppendUint64(nil, uint64(got.Unix())), text...)
	ctx, cancel := context.WithTimeout(ctx, cacheLimit)
	defer cancel()
	_ = s.cache.Set(ctx, s.name, append(s.sum(text), text...), staleLimit)
}

// get gives the keys that are kept, and when they were fetched; none where there
// are none, or none to be trusted.
func (s *shared) get(ctx context.Context) (keys map[string][]key, got time.Time) {
	if s == nil {
		return nil, got
	}
	ctx, cancel := context.WithTimeout(ctx, cacheLimit)
	defer cancel()
	sealed, ok, err := s.cache.Get(ctx, s.name)
	if err != nil || !ok {
		return nil, got
	}
	keys, got, err = s.open(sealed)
	if err != nil {
		return nil, time.Time{}
	}
	return keys, got
}

var errSeal = errors.New("the keys in the cache are not as they were put there, or are too old")

func (s *shared) open(sealed []byte) (map[string][]key, time.Time, error) {
	const head = sha256.Size + 8
	if len(sealed) < head || !hmac.Equal(sealed[:sha256.Size], s.sum(sealed[sha256.Size:])) {
		return nil, time.Time{}, errSeal
	}
	now := s.now()
	got := time.Unix(int64(binary.BigEndian.Uint64(sealed[sha256.Size:head])), 0)
	if got.After(now.Add(leeway)) || now.Sub(got) >= staleLimit {
		return nil, time.Time{}, errSeal
	}
	if got.After(now) { // another server's clock
		got = now
	}
	keys, err := parseKeys(sealed[head:])
	return keys, got, err
}

// sum is the seal of a text as this provider's.
func (s *shared) sum(text []byte) []byte {
	return s.seal(append([]byte(s.name+"\x00"), text...))
}

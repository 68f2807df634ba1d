package access

import (
	"crypto/sha256"
	"sync"
	"time"

	"agentapi/domain/tenancy"
)

// What is remembered of credentials that were verified.
const (
	rememberFor = 30 * time.Second // so long a credential that was taken back may still be good
	rememberMax = 10_000
)

// cache remembers who presented a credential, by its hash, so that a signature
// is checked once in a while and not with every request.
type cache struct {
	now func() time.Time

	mu   sync.Mutex
	held map[[sha256.Size]byte]remembered
}

type remembered struct {
	who   tenancy.Identity
	until time.Time
}

func newCache(now func() time.Time) *cache {
	return &cache{now: now, held: make(map[[sha256.Size]byte]remembered)}
}

// get gives the identity of a credential that was verified just now.
func (c *cache) get(key [sha256.Size]byte) (tenancy.Identity, bool) {
	if c.now == nil {
		return tenancy.Identity{}, false
	}
	now := c.now()
	c.mu.Lock()
	defer c.mu.Unlock()
	r, ok := c.held[key]
	if ok && !now.Before(r.until) {
		delete(c.held, key)
		ok = false
	}
	return r.who, ok
}

// put remembers a verified identity, if it has an end: one without costs nothing
// to look up, and may be taken back at any time.
func (c *cache) put(key [sha256.Size]byte, who tenancy.Identity) {
	if c.now == nil {
		return
	}
	now := c.now()
	if !now.Before(who.Expires) { // the zero time is past, too
		return
	}
	until := now.Add(rememberFor)
	if who.Expires.Before(until) {
		until = who.Expires
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(c.held) >= rememberMax {
		for other, r := range c.held { // any that is over, else any
			if delete(c.held, other); !now.Before(r.until) {
				continue
			}
			break
		}
	}
	c.held[key] = remembered{who, until}
}

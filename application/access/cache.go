package access

import (
	"crypto/sha256"
	"sync"
	"time"

	"agentapi/domain/tenancy"
)

// What is remembered of credentials that were verified.
const (
	rememberFor = 30 * time.Second // so long a credential that was taken back elsewhere may still be good
	rememberMax = 10_000
)

// cache remembers who presented a credential, by its hash, so that a signature
// is checked and a standing looked up once in a while and not with every request.
type cache struct {
	now func() time.Time

	mu   sync.Mutex
	held map[[sha256.Size]byte]remembered
	age  int // how often all was forgotten
}

type remembered struct {
	who   tenancy.Principal
	until time.Time
}

func newCache(now func() time.Time) *cache {
	return &cache{now: now, held: make(map[[sha256.Size]byte]remembered)}
}

// get gives the principal of a credential that was verified just now.
func (c *cache) get(key [sha256.Size]byte) (tenancy.Principal, bool) {
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

// mark is when a verification began.
type mark struct {
	at  time.Time
	age int
}

// mark marks the begin of a verification, for put.
func (c *cache) mark() mark {
	at := c.now()
	c.mu.Lock()
	defer c.mu.Unlock()
	return mark{at, c.age}
}

// forget forgets all, and has what is being verified not remembered.
func (c *cache) forget() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.age++
	clear(c.held)
}

// put remembers a verified caller, unless all was forgotten since its mark: it counts
// from there, however long the verification took.
func (c *cache) put(key [sha256.Size]byte, who tenancy.Principal, began mark) {
	now := c.now()
	until := began.at.Add(rememberFor)
	if e := who.Identity().Expires; !e.IsZero() && e.Before(until) {
		until = e
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.age != began.age || !now.Before(until) {
		return
	}
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

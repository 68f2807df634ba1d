// Package memory is a cache in this process's memory, for a single server.
package memory

import (
	"bytes"
	"container/list"
	"context"
	"sync"
	"time"

	"agentapi/domain/fault"
	"agentapi/ports"
)

// Options configures a Cache.
type Options struct {
	// MaxBytes bounds keys, values and what it takes to find them; what was used
	// least lately goes first. A value that is larger is not kept.
	MaxBytes int `yaml:"max_bytes"`
}

// SetDefaults fills in what a configuration may leave out.
func (o *Options) SetDefaults() { o.MaxBytes = 32 << 20 }

// Validate refuses options that make no sense.
func (o *Options) Validate() error {
	if o.MaxBytes < 1 {
		return fault.Invalidf("max_bytes", "out_of_range", "max_bytes must be at least 1")
	}
	return nil
}

// Cache is a ports.Cache with least-recently-used eviction.
type Cache struct {
	max int

	mu    sync.Mutex
	items map[string]*list.Element
	order list.List // of *item, the most recently used first
	size  int
}

type item struct {
	key   string
	val   []byte
	until time.Time
}

// overhead is about what an item holds beside its key and value.
const overhead = 200

func (i *item) size() int { return overhead + len(i.key) + len(i.val) }

var _ ports.Cache = (*Cache)(nil)

// Open makes an empty cache.
func Open(o Options) (*Cache, error) {
	return &Cache{max: o.MaxBytes, items: make(map[string]*list.Element)}, nil
}

// enter takes the mutex unless ctx has ended.
func (c *Cache) enter(ctx context.Context) error {
	if err := ended(ctx); err != nil {
		return err
	}
	c.mu.Lock()
	return nil
}

// ended is the fault of a context that has ended.
func ended(ctx context.Context) error {
	switch ctx.Err() {
	case nil:
		return nil
	case context.DeadlineExceeded:
		return fault.Wrap(fault.Timeout, ctx.Err(), "The time for the cache was up.")
	default:
		return fault.Wrap(fault.Canceled, ctx.Err(), "The request was cancelled.")
	}
}

// live gives the item under key unless its time is over; the mutex must be held.
func (c *Cache) live(key string) *item {
	e := c.items[key]
	if e == nil {
		return nil
	}
	i := e.Value.(*item)
	if !time.Now().Before(i.until) {
		c.drop(e)
		return nil
	}
	c.order.MoveToFront(e)
	return i
}

func (c *Cache) drop(e *list.Element) {
	i := c.order.Remove(e).(*item)
	delete(c.items, i.key)
	c.size -= i.size()
}

func (c *Cache) put(key string, val []byte, ttl time.Duration) {
	if e := c.items[key]; e != nil {
		c.drop(e)
	}
	i := &item{key: key, val: val, until: time.Now().Add(ttl)}
	if i.size() > c.max {
		return
	}
	i.val = bytes.Clone(val)
	c.items[key] = c.order.PushFront(i)
	c.size += i.size()
	for c.size > c.max {
		c.drop(c.order.Back())
	}
}

// Get returns the value; ok is false when there is none.
func (c *Cache) Get(ctx context.Context, key string) (val []byte, ok bool, err error) {
	if err := c.enter(ctx); err != nil {
		return nil, false, err
	}
	defer c.mu.Unlock()
	if i := c.live(key); i != nil {
		return bytes.Clone(i.val), true, nil
	}
	return nil, false, nil
}

// Set stores the value for ttl.
func (c *Cache) Set(ctx context.Context, key string, val []byte, ttl time.Duration) error {
	if err := c.enter(ctx); err != nil {
		return err
	}
	defer c.mu.Unlock()
	c.put(key, val, ttl)
	return nil
}

// Add sets the key unless it is there.
func (c *Cache) Add(ctx context.Context, key string, val []byte, ttl time.Duration) (added bool, err error) {
	if err := c.enter(ctx); err != nil {
		return false, err
	}
	defer c.mu.Unlock()
	if c.live(key) != nil {
		return false, nil
	}
	c.put(key, val, ttl)
	return true, nil
}

// Swap replaces old by val.
func (c *Cache) Swap(ctx context.Context, key string, old, val []byte, ttl time.Duration) (swapped bool, err error) {
	if err := c.enter(ctx); err != nil {
		return false, err
	}
	defer c.mu.Unlock()
	if i := c.live(key); i == nil || !bytes.Equal(i.val, old) {
		return false, nil
	}
	c.put(key, val, ttl)
	return true, nil
}

// Delete removes the keys.
func (c *Cache) Delete(ctx context.Context, keys ...string) error {
	if err := c.enter(ctx); err != nil {
		return err
	}
	defer c.mu.Unlock()
	for _, key := range keys {
		if e := c.items[key]; e != nil {
			c.drop(e)
		}
	}
	return nil
}

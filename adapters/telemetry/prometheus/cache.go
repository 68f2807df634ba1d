package prometheus

import (
	"context"
	"time"

	"agentapi/domain/quota"
	"agentapi/ports"
)

// prober is a cache that tells whether it answers.
type prober interface{ Probe(context.Context) error }

// Cache is a cache whose calls are counted. It can be probed where inner can.
func (m *Metrics) Cache(inner ports.Cache) ports.Cache {
	c := &cache{inner, m}
	if p, ok := inner.(prober); ok {
		return struct {
			*cache
			prober
		}{c, p}
	}
	return c
}

type cache struct {
	inner ports.Cache
	m     *Metrics
}

var _ ports.Cache = (*cache)(nil)

func (m *Metrics) op(name string, err error) {
	result := "ok"
	if err != nil {
		result = "error"
	}
	m.cached.WithLabelValues(name, result).Inc()
}

func (c *cache) Get(ctx context.Context, key string) (val []byte, ok bool, err error) {
	val, ok, err = c.inner.Get(ctx, key)
	switch {
	case err != nil:
		c.m.op("get", err)
	case ok:
		c.m.cached.WithLabelValues("get", "hit").Inc()
	default:
		c.m.cached.WithLabelValues("get", "miss").Inc()
	}
	return val, ok, err
}

func (c *cache) Set(ctx context.Context, key string, val []byte, ttl time.Duration) error {
	err := c.inner.Set(ctx, key, val, ttl)
	c.m.op("set", err)
	return err
}

func (c *cache) Add(ctx context.Context, key string, val []byte, ttl time.Duration) (bool, error) {
	added, err := c.inner.Add(ctx, key, val, ttl)
	c.m.op("add", err)
	return added, err
}

func (c *cache) Swap(ctx context.Context, key string, old, val []byte, ttl time.Duration) (bool, error) {
	swapped, err := c.inner.Swap(ctx, key, old, val, ttl)
	c.m.op("swap", err)
	return swapped, err
}

func (c *cache) Delete(ctx context.Context, keys ...string) error {
	err := c.inner.Delete(ctx, keys...)
	c.m.op("delete", err)
	return err
}

// Limiter is a limiter whose calls are counted.
func (m *Metrics) Limiter(inner ports.Limiter) ports.Limiter { return &limiter{inner, m} }

type limiter struct {
	inner ports.Limiter
	m     *Metrics
}

var _ ports.Limiter = (*limiter)(nil)

func (l *limiter) Take(ctx context.Context, c quota.Claim) (quota.Decision, error) {
	d, err := l.inner.Take(ctx, c)
	l.m.op("take", err)
	return d, err
}

func (l *limiter) Settle(ctx context.Context, c quota.Claim, back ...int64) error {
	err := l.inner.Settle(ctx, c, back...)
	l.m.op("settle", err)
	return err
}

func (l *limiter) Renew(ctx context.Context, c quota.Claim) error {
	err := l.inner.Renew(ctx, c)
	l.m.op("renew", err)
	return err
}

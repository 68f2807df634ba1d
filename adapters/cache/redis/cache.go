package redis

import (
	"context"
	"time"

	"github.com/redis/rueidis"

	"agentapi/ports"
)

// Cache is a ports.Cache.
type Cache struct{ *Client }

var _ ports.Cache = Cache{}

func (c Cache) key(key string) string { return c.prefix + "cache:" + key }

// Get returns the value; ok is false when there is none.
func (c Cache) Get(ctx context.Context, key string) (val []byte, ok bool, err error) {
	err = c.do(ctx, func(ctx context.Context, conn rueidis.Client) error {
		val, err = conn.Do(ctx, conn.B().Get().Key(c.key(key)).Build()).AsBytes()
		ok = err == nil
		return err
	})
	return val, ok, err
}

// Set stores the value for ttl.
func (c Cache) Set(ctx context.Context, key string, val []byte, ttl time.Duration) error {
	return c.do(ctx, func(ctx context.Context, conn rueidis.Client) error {
		return conn.Do(ctx, conn.B().Set().Key(c.key(key)).Value(rueidis.BinaryString(val)).PxMilliseconds(millis(ttl)).Build()).Error()
	})
}

// Add sets the key unless it is there.
func (c Cache) Add(ctx context.Context, key string, val []byte, ttl time.Duration) (added bool, err error) {
	err = c.do(ctx, func(ctx context.Context, conn rueidis.Client) error {
		err := conn.Do(ctx, conn.B().Set().Key(c.key(key)).Value(rueidis.BinaryString(val)).Nx().PxMilliseconds(millis(ttl)).Build()).Error()
		added = err == nil
		return err
	})
	return added, err
}

var swap = rueidis.NewLuaScript(`
if redis.call('GET', KEYS[1]) ~= ARGV[1] then return 0 end
redis.call('SET', KEYS[1], ARGV[2], 'PX', ARGV[3])
return 1`)

// Swap replaces old by val.
func (c Cache) Swap(ctx context.Context, key string, old, val []byte, ttl time.Duration) (swapped bool, err error) {
	err = c.do(ctx, func(ctx context.Context, conn rueidis.Client) error {
		swapped, err = swap.Exec(ctx, conn, []string{c.key(key)}, []string{rueidis.BinaryString(old), rueidis.BinaryString(val), decimal(millis(ttl))}).AsBool()
		return err
	})
	return swapped, err
}

// Delete removes the keys.
func (c Cache) Delete(ctx context.Context, keys ...string) error {
	return c.do(ctx, func(ctx context.Context, conn rueidis.Client) error {
		all := make(rueidis.Commands, len(keys)) // each of its own: a cluster may keep them apart
		for i, key := range keys {
			all[i] = conn.B().Del().Key(c.key(key)).Build()
		}
		for _, answer := range conn.DoMulti(ctx, all...) {
			if err := answer.Error(); err != nil {
				return err
			}
		}
		return nil
	})
}

// millis is a time to live as Redis takes it: one that is positive stays so.
func millis(ttl time.Duration) int64 { return max(1, ttl.Milliseconds()) }

package ports

import (
	"context"
	"time"
)

//go:generate go tool mockgen -source=$GOFILE -destination=portmock/$GOFILE -package=portmock

// Cache holds what may be lost at any time. Every method returns
// fault.Unavailable when the cache is down; callers go on without it. A ttl
// must be positive.
type Cache interface {
	// Get returns the value; ok is false when there is none.
	Get(ctx context.Context, key string) (val []byte, ok bool, err error)
	// Set stores the value for ttl.
	Set(ctx context.Context, key string, val []byte, ttl time.Duration) error
	// Add sets the key unless it is there; of concurrent calls one adds.
	Add(ctx context.Context, key string, val []byte, ttl time.Duration) (added bool, err error)
	// Swap replaces old by val, atomically; swapped is false when the value is another or none.
	Swap(ctx context.Context, key string, old, val []byte, ttl time.Duration) (swapped bool, err error)
	// Delete removes the keys; absent ones are no error.
	Delete(ctx context.Context, keys ...string) error
}

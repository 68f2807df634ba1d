package porttest

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"agentapi/domain/fault"
	"agentapi/ports"
)

// Cache tests the contract of ports.Cache. wait lets time pass for the cache.
func Cache(t *testing.T, open func(t *testing.T) ports.Cache, wait func(time.Duration)) {
	get := func(t *testing.T, c ports.Cache, key string) string {
		t.Helper()
		val, ok, err := c.Get(t.Context(), key)
		must(t, err)
		if !ok {
			return "-"
		}
		return string(val)
	}
	t.Run("a value lives for its time", func(t *testing.T) {
		c := open(t)
		if got := get(t, c, "a"); got != "-" {
			t.Errorf("an empty cache has %q", got)
		}
		must(t, c.Set(t.Context(), "a", []byte("1"), time.Second))
		if got := get(t, c, "a"); got != "1" {
			t.Errorf("got %q", got)
		}
		must(t, c.Set(t.Context(), "a", []byte("2"), time.Second))
		if got := get(t, c, "a"); got != "2" {
			t.Errorf("got %q", got)
		}
		wait(2 * time.Second)
		if got := get(t, c, "a"); got != "-" {
			t.Errorf("after its time it is %q", got)
		}
	})
	t.Run("what is handed in and out is copied", func(t *testing.T) {
		c := open(t)
		in := []byte("1")
		must(t, c.Set(t.Context(), "a", in, time.Minute))
		in[0] = 'x'
		out, _, err := c.Get(t.Context(), "a")
		must(t, err)
		out[0] = 'y'
		if got := get(t, c, "a"); got != "1" {
			t.Errorf("got %q", got)
		}
	})
	t.Run("of many that add one does", func(t *testing.T) {
		c := open(t)
		var (
			all   sync.WaitGroup
			added atomic.Int32
		)
		for i := range 16 {
			all.Go(func() {
				ok, err := c.Add(t.Context(), "a", fmt.Append(nil, i), time.Minute)
				if err != nil {
					t.Error(err)
				}
				if ok {
					added.Add(1)
				}
			})
		}
		all.Wait()
		if n := added.Load(); n != 1 {
			t.Errorf("%d added", n)
		}
	})
	t.Run("a swap needs the old value", func(t *testing.T) {
		c := open(t)
		if ok, err := c.Swap(t.Context(), "a", []byte("1"), []byte("2"), time.Minute); err != nil || ok {
			t.Errorf("of nothing: %v, %v", ok, err)
		}
		must(t, c.Set(t.Context(), "a", []byte("1"), time.Minute))
		if ok, err := c.Swap(t.Context(), "a", []byte("x"), []byte("2"), time.Minute); err != nil || ok {
			t.Errorf("of another: %v, %v", ok, err)
		}
		if ok, err := c.Swap(t.Context(), "a", []byte("1"), []byte("2"), time.Minute); err != nil || !ok {
			t.Errorf("of the old: %v, %v", ok, err)
		}
		if got := get(t, c, "a"); got != "2" {
			t.Errorf("got %q", got)
		}
	})
	t.Run("deleting what is not there is no error", func(t *testing.T) {
		c := open(t)
		must(t, c.Set(t.Context(), "a", []byte("1"), time.Minute))
		must(t, c.Delete(t.Context(), "a", "b"))
		if got := get(t, c, "a"); got != "-" {
			t.Errorf("got %q", got)
		}
	})
	t.Run("a context that has ended is said to have", func(t *testing.T) {
		c := open(t)
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		_, _, err := c.Get(ctx, "a")
		is(t, err, fault.Canceled, "")
		is(t, c.Set(ctx, "a", nil, time.Minute), fault.Canceled, "")
	})
}

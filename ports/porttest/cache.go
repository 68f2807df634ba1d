package porttest

import (
	"context"
	"fmt"
	"reflect"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"agentapi/domain/fault"
	"agentapi/ports"
)

// Cache tests the contract of ports.Cache. open gives an empty cache. timed runs
// a test in which time.Sleep lets time pass for the cache: synctest.Test where
// the cache is of this process.
func Cache(t *testing.T, open func(t *testing.T) ports.Cache, timed func(t *testing.T, f func(t *testing.T))) {
	for name, test := range map[string]func(t *testing.T, c ports.Cache){
		"a value lives for its time":                 cacheTimes,
		"what is handed in and out is copied":        cacheCopies,
		"a key is added where there is none":         cacheAdds,
		"a swap needs the old value":                 cacheSwaps,
		"of many that add or swap one does":          cacheRaces,
		"deleting what is not there is no error":     cacheDeletes,
		"a context that has ended is said to have":   cacheContexts,
		"an empty value is a value and not its lack": cacheEmpty,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			timed(t, func(t *testing.T) { test(t, open(t)) })
		})
	}
}

// holds checks what is cached under key; "-" means nothing is.
func holds(t *testing.T, c ports.Cache, key, want string) {
	t.Helper()
	val, ok, err := c.Get(t.Context(), key)
	must(t, err)
	got := "-"
	if ok {
		got = string(val)
	}
	if got != want {
		t.Errorf("under %q there is %q, want %q", key, got, want)
	}
}

func cacheTimes(t *testing.T, c ports.Cache) {
	holds(t, c, "a", "-")
	must(t, c.Set(t.Context(), "a", []byte("1"), time.Second))
	holds(t, c, "a", "1")
	must(t, c.Set(t.Context(), "a", []byte("2"), time.Second))
	holds(t, c, "a", "2")
	must(t, c.Set(t.Context(), "long", []byte("3"), time.Minute))
	time.Sleep(2 * time.Second)
	holds(t, c, "a", "-")
	holds(t, c, "long", "3")
	swapped, err := c.Swap(t.Context(), "a", []byte("2"), []byte("x"), time.Second)
	if must(t, err); swapped {
		t.Error("a value was swapped after its time")
	}
	added, err := c.Add(t.Context(), "a", []byte("4"), time.Second)
	if must(t, err); !added {
		t.Error("a key is taken after its value's time")
	}
	swapped, err = c.Swap(t.Context(), "a", []byte("4"), []byte("5"), time.Minute)
	if must(t, err); !swapped {
		t.Error("it was not swapped")
	}
	time.Sleep(2 * time.Second)
	holds(t, c, "a", "5") // a swap gives it a new time
}

func cacheCopies(t *testing.T, c ports.Cache) {
	in, swap := []byte("1"), []byte("2")
	must(t, c.Set(t.Context(), "a", in, time.Minute))
	in[0] = 'x'
	out, _, err := c.Get(t.Context(), "a")
	must(t, err)
	out[0] = 'y'
	holds(t, c, "a", "1")
	_, err = c.Swap(t.Context(), "a", []byte("1"), swap, time.Minute)
	must(t, err)
	swap[0] = 'z'
	holds(t, c, "a", "2")
}

func cacheAdds(t *testing.T, c ports.Cache) {
	for i, want := range []bool{true, false} {
		added, err := c.Add(t.Context(), "a", fmt.Append(nil, i), time.Minute)
		if must(t, err); added != want {
			t.Errorf("call %d: added is %v", i+1, added)
		}
	}
	holds(t, c, "a", "0")
}

func cacheSwaps(t *testing.T, c ports.Cache) {
	swap := func(old, val string, want bool) {
		t.Helper()
		swapped, err := c.Swap(t.Context(), "a", []byte(old), []byte(val), time.Minute)
		if must(t, err); swapped != want {
			t.Errorf("%s by %s: swapped is %v", old, val, swapped)
		}
	}
	swap("", "x", false)
	must(t, c.Set(t.Context(), "a", []byte("1"), time.Minute))
	swap("other", "x", false)
	holds(t, c, "a", "1")
	swap("1", "2", true)
	holds(t, c, "a", "2")
}

func cacheRaces(t *testing.T, c ports.Cache) {
	must(t, c.Set(t.Context(), "swapped", []byte("old"), time.Minute))
	var (
		all           sync.WaitGroup
		adds, changes atomic.Int32
	)
	for i := range 32 {
		all.Go(func() {
			added, err := c.Add(t.Context(), "added", fmt.Append(nil, i), time.Minute)
			if err != nil {
				t.Error(err)
			}
			swapped, err := c.Swap(t.Context(), "swapped", []byte("old"), fmt.Append(nil, i), time.Minute)
			if err != nil {
				t.Error(err)
			}
			if added {
				adds.Add(1)
			}
			if swapped {
				changes.Add(1)
			}
		})
	}
	all.Wait()
	if adds.Load() != 1 || changes.Load() != 1 {
		t.Errorf("%d added, %d swapped", adds.Load(), changes.Load())
	}
}

func cacheDeletes(t *testing.T, c ports.Cache) {
	for _, key := range []string{"a", "b", "c"} {
		must(t, c.Set(t.Context(), key, []byte("1"), time.Minute))
	}
	must(t, c.Delete(t.Context(), "a", "none", "b"))
	must(t, c.Delete(t.Context()))
	holds(t, c, "a", "-")
	holds(t, c, "b", "-")
	holds(t, c, "c", "1")
}

func cacheEmpty(t *testing.T, c ports.Cache) {
	must(t, c.Set(t.Context(), "a", nil, time.Minute))
	holds(t, c, "a", "")
	swapped, err := c.Swap(t.Context(), "a", nil, []byte("1"), time.Minute)
	if must(t, err); !swapped {
		t.Error("an empty value cannot be swapped")
	}
}

func cacheContexts(t *testing.T, c ports.Cache) {
	canceled, cancel := context.WithCancel(t.Context())
	cancel()
	late, cancel := context.WithDeadline(t.Context(), time.Now().Add(-time.Second))
	defer cancel()
	for ctx, kind := range map[context.Context]fault.Kind{canceled: fault.Canceled, late: fault.Timeout} {
		all := map[string]func() error{
			"Get":    func() error { _, _, err := c.Get(ctx, "a"); return err },
			"Set":    func() error { return c.Set(ctx, "a", nil, time.Minute) },
			"Add":    func() error { _, err := c.Add(ctx, "a", nil, time.Minute); return err },
			"Swap":   func() error { _, err := c.Swap(ctx, "a", nil, nil, time.Minute); return err },
			"Delete": func() error { return c.Delete(ctx, "a") },
		}
		for m := range reflect.TypeFor[ports.Cache]().Methods() {
			if all[m.Name] == nil {
				t.Fatalf("nothing here calls %s", m.Name)
			}
			if err := all[m.Name](); !fault.Is(err, kind) {
				t.Errorf("%s: got %v, want %s", m.Name, err, kind)
			}
		}
	}
	holds(t, c, "a", "-")
}

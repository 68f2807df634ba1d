package memory

import (
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"agentapi/ports"
	"agentapi/ports/porttest"
)

func open(t *testing.T, maxBytes int) *Cache {
	t.Helper()
	o := Options{MaxBytes: maxBytes}
	if err := o.Validate(); err != nil {
		t.Fatal(err)
	}
	c, err := Open(o)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func TestTheCacheKeepsThePortsContract(t *testing.T) {
	porttest.Cache(t, func(t *testing.T) ports.Cache { return open(t, 1<<20) }, synctest.Test)
}

func set(t *testing.T, c *Cache, key string, n int) {
	t.Helper()
	if err := c.Set(t.Context(), key, make([]byte, n), time.Minute); err != nil {
		t.Fatal(err)
	}
}

func has(t *testing.T, c *Cache, key string) bool {
	t.Helper()
	_, ok, err := c.Get(t.Context(), key)
	if err != nil {
		t.Fatal(err)
	}
	return ok
}

func TestWhatWasUsedLeastLatelyGoesFirst(t *testing.T) {
	t.Parallel()
	c := open(t, 10*(overhead+1+10))
	for i := range 12 {
		set(t, c, fmt.Sprint(i%10), 10)
	}
	if !has(t, c, "2") { // which makes 3 the one used least lately
		t.Error("2 has gone too early")
	}
	set(t, c, "x", 10)
	if !has(t, c, "2") || has(t, c, "3") || !has(t, c, "x") || c.size > c.max {
		t.Errorf("2: %v, 3: %v, x: %v, %d bytes", has(t, c, "2"), has(t, c, "3"), has(t, c, "x"), c.size)
	}
}

func TestAValueThatDoesNotFitDrivesNothingOut(t *testing.T) {
	t.Parallel()
	c := open(t, 1000)
	set(t, c, "small", 10)
	set(t, c, "large", 10)
	set(t, c, "large", 2000)
	if !has(t, c, "small") || has(t, c, "large") {
		t.Errorf("small: %v, large: %v; the old value of large must not stay either", has(t, c, "small"), has(t, c, "large"))
	}
}

func TestManySmallValuesAreBoundedToo(t *testing.T) {
	t.Parallel()
	c := open(t, 1<<16)
	for i := range 10_000 {
		set(t, c, strings.Repeat("k", 1+i%3)+fmt.Sprint(i), 0)
	}
	if n := len(c.items); n > 1<<16/overhead || n != c.order.Len() {
		t.Errorf("%d items are kept", n)
	}
}

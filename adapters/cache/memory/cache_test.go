package memory

import (
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"agentapi/ports"
	"agentapi/ports/porttest"
)

func TestTheCacheKeepsThePortsContract(t *testing.T) {
	porttest.Cache(t, func(t *testing.T) ports.Cache {
		c, err := Open(Options{MaxBytes: 1 << 20})
		if err != nil {
			t.Fatal(err)
		}
		return c
	}, time.Sleep)
}

func TestWhatWasUsedLeastLatelyGoesFirst(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, err := Open(Options{MaxBytes: 10 * 11})
		if err != nil {
			t.Fatal(err)
		}
		for i := range 12 {
			if err := c.Set(t.Context(), fmt.Sprint(i%10), make([]byte, 10), time.Minute); err != nil {
				t.Fatal(err)
			}
		}
		if err := c.Set(t.Context(), "x", make([]byte, 10), time.Minute); err != nil {
			t.Fatal(err)
		}
		_, zero, _ := c.Get(t.Context(), "0")
		_, two, _ := c.Get(t.Context(), "2")
		if !zero || two || c.size > c.max {
			t.Errorf("0 is there: %v, 2 is there: %v, %d bytes", zero, two, c.size)
		}
	})
}

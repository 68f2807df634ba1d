package redis

import (
	"context"
	"crypto/rand"
	"fmt"
	"os"
	"testing"
	"time"

	"go.uber.org/goleak"

	"agentapi/ports"
	"agentapi/ports/porttest"
	server "agentapi/test/redis"
)

func TestMain(m *testing.M) {
	code := m.Run()
	server.Stop()
	if code == 0 {
		if err := goleak.Find(); err != nil {
			fmt.Fprintln(os.Stderr, err)
			code = 1
		}
	}
	os.Exit(code)
}

// connect gives a client with keys of its own.
func connect(t *testing.T, address string) *Client {
	t.Helper()
	var o Options
	o.SetDefaults()
	o.URL, o.Prefix, o.Timeout = address, "t"+rand.Text()+":", 2*time.Second
	if err := o.Validate(); err != nil {
		t.Fatal(err)
	}
	c, err := Connect(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Stop(context.Background()) })
	return c
}

// asItPasses runs a test in the time of the wall.
func asItPasses(t *testing.T, f func(*testing.T)) { f(t) }

func TestTheCacheKeepsThePortsContract(t *testing.T) {
	t.Parallel()
	address := server.Shared(t)
	porttest.Cache(t, func(t *testing.T) ports.Cache { return Cache{connect(t, address)} }, asItPasses)
}

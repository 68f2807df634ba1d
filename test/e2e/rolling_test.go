package e2e

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"agentapi/test/kit"
	"agentapi/test/postgres"
	"agentapi/test/redis"
)

// Two servers behind a balancer that knows nothing of HTTP are restarted one after the
// other under 200 requests a second: clients that try once more see no failure.
func TestNoRequestFailsWhileServersAreRestarted(t *testing.T) {
	_, env := migrated(t, postgres.Shared(t))
	shared := redis.Shared(t)
	options := make([]kit.Options, 2)
	servers := make([]*kit.Server, 2)
	for i := range servers {
		options[i] = kit.Options{
			Config: staff + "log: {level: warn}\nserver: {drain_delay: 300ms, drain: 20s}\nagents: {demo: {driver: demo, demo: {delay: 5ms}}}\n" + fmt.Sprintf("cache: {driver: redis, redis: {url: '%s', prefix: 'rolling:'}}\n", shared),
			Env:    append(env, "AGENTAPI_IDENTITY__KEY_PEPPER=a-pepper-of-the-tests"), Dir: t.TempDir(), Port: kit.FreePort(t),
		}
		servers[i] = kit.Start(t, options[i])
	}
	front := kit.Balance(t, servers...)
	var asked, again, failed atomic.Int64
	once := func(n int64) error {
		body := kit.Ask("demo/echo", "hello")
		if n%3 == 0 {
			body = kit.AskStream("demo/slow", strings.Repeat("word ", 40))
		}
		resp, err := front.Open(t.Context(), http.MethodPost, "/v1/chat/completions", body, as("victim")...)
		if err != nil {
			return err
		}
		defer resp.Body.Close()
		text, err := io.ReadAll(resp.Body)
		switch {
		case err != nil:
			return err
		case resp.StatusCode != 200 || n%3 == 0 && !bytes.HasSuffix(text, []byte("data: [DONE]\n\n")):
			return fmt.Errorf("%d %s", resp.StatusCode, text)
		}
		return nil
	}
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	var all, load sync.WaitGroup
	load.Go(func() {
		tick := time.NewTicker(time.Second / 200)
		defer tick.Stop()
		for {
			select {
			case <-ctx.Done():
				return
			case <-tick.C:
			}
			n := asked.Add(1)
			all.Go(func() {
				err := once(n)
				if err != nil {
					again.Add(1)
					time.Sleep(time.Second / 2) // as OpenAI's SDKs do
					err = once(n)
				}
				if err != nil {
					failed.Add(1)
					t.Errorf("request %d: %v", n, err)
				}
			})
		}
	})
	rolls := kit.Size(1, 2, 20)
	for range rolls {
		for i, s := range servers {
			if code, err := s.Stop(30 * time.Second); err != nil || code != 0 {
				t.Fatalf("exit %d, %v\n%s", code, err, s.Logs)
			}
			servers[i] = kit.Start(t, options[i])
		}
	}
	stop()
	load.Wait()
	all.Wait()
	t.Logf("%d requests over %d restarts: %d tried once more, %d failed", asked.Load(), 2*rolls, again.Load(), failed.Load())
}

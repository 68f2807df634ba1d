package e2e

import (
	"context"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"agentapi/domain/audit"
	"agentapi/test/kit"
	"agentapi/test/postgres"
)

// Clients retry each request with its Idempotency-Key until it is answered, while
// the server is killed at random moments and started again. What was
// acknowledged must be there afterwards, once, and what their budget has spent is what
// was booked.
func TestNothingAcknowledgedIsLostOrDoubledByKills(t *testing.T) {
	t.Run("in SQLite", func(t *testing.T) { kill(t, kit.Size(8, 40, 200), nil) })
	t.Run("in Postgres", func(t *testing.T) {
		_, env := migrated(t, postgres.Shared(t))
		// What a killed server had begun is free again soon, so that clients go on.
		kill(t, kit.Size(8, 40, 1000), append(env, "AGENTAPI_STORAGE__POSTGRES__LEASE=3s"))
	})
}

func kill(t *testing.T, kills int, env []string) {
	const clients = 32
	dir, port := t.TempDir(), kit.FreePort(t)
	launch := func() *kit.Server {
		s, err := kit.Launch(t, kit.Options{Config: staff + priced, Dir: dir, Port: port, Env: env})
		if err != nil {
			t.Fatal(err)
		}
		return s
	}
	server := launch()
	budget := fund(t, server, `{"period":"total","limit_micro":1000000000000}`)
	client := server // the address stays; the process changes
	ctx, stop := context.WithCancel(t.Context())
	type done struct{ text, session, id string }
	var (
		mu       sync.Mutex
		acked    []done
		replayed atomic.Int32
		all      sync.WaitGroup
	)
	// ask sends a request, again under its key, and tells whether it is answered.
	ask := func(text string) bool {
		a, err := client.Do(context.WithoutCancel(ctx), http.MethodPost, "/v1/chat/completions", kit.Ask("demo/echo", text), append(as("victim"), "Idempotency-Key", text)...)
		if err != nil || a.Status == http.StatusConflict || a.Status == http.StatusServiceUnavailable {
			time.Sleep(5 * time.Millisecond)
			return false
		}
		var body struct {
			ID      string
			Choices []struct{ Message struct{ Content string } }
		}
		if a.Status != http.StatusOK || json.Unmarshal([]byte(a.Body), &body) != nil || len(body.Choices) != 1 || body.Choices[0].Message.Content != text {
			t.Errorf("%s: got %d %s", text, a.Status, a.Body)
		}
		if a.Header.Get("Idempotent-Replayed") != "" {
			replayed.Add(1)
		}
		mu.Lock()
		defer mu.Unlock()
		acked = append(acked, done{text, a.Header.Get("X-Agentapi-Session-Id"), body.ID})
		return true
	}
	for c := range clients {
		all.Go(func() {
			// What a killed server had begun may take a while to be free again.
			var open []string
			for n := 0; ctx.Err() == nil || len(open) > 0 && t.Context().Err() == nil; n++ {
				if ctx.Err() == nil {
					open = append(open, fmt.Sprintf("client %d request %d", c, n))
				}
				open = slices.DeleteFunc(open, ask)
			}
		})
	}
	for range kills {
		time.Sleep(time.Duration(20+rand.IntN(120)) * time.Millisecond)
		server.Kill()
		server = launch()
	}
	time.Sleep(200 * time.Millisecond)
	stop()
	all.Wait()

	sessions := listSessions(t, server, as("victim")...)
	titles := map[string]int{}
	for _, s := range sessions {
		titles[s.Title]++
		if s.Messages != 2 {
			t.Errorf("%s has %d messages", s.Title, s.Messages)
		}
	}
	seen := map[string]string{}
	for _, d := range acked {
		if titles[d.text] != 1 {
			t.Errorf("%q was acknowledged and is there %d times", d.text, titles[d.text])
		}
		if other := seen[d.id]; other != "" {
			t.Errorf("%q and %q got the same completion", d.text, other)
		}
		seen[d.id] = d.text
	}
	for title, n := range titles {
		if n != 1 {
			t.Errorf("%q is there %d times", title, n)
		}
	}
	if !kit.Soon(10*time.Second, func() bool { return budgetOf(t, server, budget)["reserved_micro"] == 0.0 }) {
		t.Errorf("after its time something is set aside still: %v", budgetOf(t, server, budget))
	}
	if spent := budgetOf(t, server, budget)["spent_micro"]; spent == 0.0 || spent != booked(t, server) {
		t.Errorf("%v was spent, and %v booked", spent, booked(t, server))
	}
	t.Logf("RELIABILITY R1 %d kills: %d acknowledged, %d of them replayed after their answer was lost, %d sessions; 0 lost, 0 doubled",
		kills, len(acked), replayed.Load(), len(sessions))
	if code, err := server.Stop(10 * time.Second); err != nil || code != 0 {
		t.Errorf("the last server ended with %d, %v", code, err)
	}
	recorded(t, append(env, "AGENTAPI_DATA_DIR="+dir), len(sessions))
}

// recorded holds the audit log to be whole, and to have each stored answer once.
func recorded(t *testing.T, env []string, answers int) {
	t.Helper()
	if out, code := agentapi(t, env, "audit", "verify"); code != 0 || !strings.Contains(out, "whole") {
		t.Errorf("the audit log: %d, %s", code, out)
	}
	path := filepath.Join(t.TempDir(), "audit.jsonl")
	if out, code := agentapi(t, env, "audit", "export", "--out", path); code != 0 {
		t.Fatalf("%d, %s", code, out)
	}
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	targets := map[string]int{}
	for line := range strings.Lines(string(text)) {
		var l struct{ Canon string }
		if err := json.Unmarshal([]byte(line), &l); err != nil {
			t.Fatal(err)
		}
		if l.Canon == "" {
			continue // the last line
		}
		said, err := audit.Read([]byte(l.Canon))
		if err != nil {
			t.Fatal(err)
		}
		if said.Action == audit.ChatCompleted && said.Outcome == audit.OK {
			targets[said.Target]++
		}
	}
	for target, n := range targets {
		if n != 1 {
			t.Errorf("%s is recorded %d times", target, n)
		}
	}
	if len(targets) != answers {
		t.Errorf("%d answers are stored, %d recorded", answers, len(targets))
	}
}

type listed struct {
	ID       string
	Title    string
	Messages int `json:"message_count"`
}

func listSessions(t *testing.T, s *kit.Server, headers ...string) (out []listed) {
	t.Helper()
	after := ""
	for {
		a, err := s.Do(t.Context(), http.MethodGet, "/api/v1/sessions?limit=100"+after, "", headers...)
		if err != nil {
			t.Fatal(err)
		}
		var page struct {
			Data    []listed
			LastID  string `json:"last_id"`
			HasMore bool   `json:"has_more"`
		}
		if a.Status != http.StatusOK || json.Unmarshal([]byte(a.Body), &page) != nil {
			t.Fatalf("got %d %s", a.Status, a.Body)
		}
		out = append(out, page.Data...)
		if !page.HasMore {
			return out
		}
		after = "&after=" + page.LastID
	}
}

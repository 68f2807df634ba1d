package e2e

import (
	"context"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"agentapi/test/kit"
	"agentapi/test/postgres"
)

// Two organisations, and two users of one of them, keep conversations that hold
// words of their own. Each then asks for what is another's in every way that the
// API has: no answer may hold another's words, and nothing of theirs may change.
func TestNoCallerSeesWhatIsAnothers(t *testing.T) {
	t.Run("in memory", func(t *testing.T) { trespass(t, "storage: {driver: memory}\n", nil) })
	t.Run("in SQLite", func(t *testing.T) { trespass(t, "", nil) })
	t.Run("in Postgres", func(t *testing.T) {
		_, env := migrated(t, postgres.Shared(t))
		trespass(t, "", env)
	})
}

// tenant is a caller with what they have stored.
type tenant struct {
	token, canary string
	sessions      []string
	messages      []string
	keys          []string // of idempotency
}

const tenants = `identity:
  chain: [dev]
  dev:
    tokens:
      - {token: token-of-ann, org: acme, user: ann}
      - {token: token-of-bob, org: acme, user: bob}
      - {token: token-of-eve, org: evil, user: ann}
`

func trespass(t *testing.T, config string, env []string) {
	s := kit.Start(t, kit.Options{Config: config + tenants, Env: env})
	all := []*tenant{
		{token: "token-of-ann", canary: "canaryann"}, {token: "token-of-bob", canary: "canarybob"}, {token: "token-of-eve", canary: "canaryeve"},
	}
	before := make([]string, len(all))
	for i, who := range all {
		who.settle(t, s)
		before[i] = who.own(t, s)
		if !strings.Contains(before[i], who.canary) {
			t.Fatalf("%s does not see what is theirs: %s", who.token, before[i])
		}
	}
	var (
		calls = kit.Size(600, 10_000, 200_000) / 3 // for each storage
		left  atomic.Int64
		seeds atomic.Uint64
		wg    sync.WaitGroup
		seen  sync.Map // statuses
	)
	left.Store(int64(calls))
	for range 16 {
		wg.Go(func() {
			r := rand.New(rand.NewPCG(1, seeds.Add(1)))
			for left.Add(-1) >= 0 && t.Context().Err() == nil {
				who := all[r.IntN(len(all))]
				a, what, err := who.pry(t.Context(), r, s, all)
				if err != nil {
					t.Errorf("%s: %v", what, err)
					return
				}
				seen.Store(a.Status, true)
				for _, other := range all {
					if other != who && (strings.Contains(a.Body, other.canary) || strings.Contains(fmt.Sprint(a.Header), other.canary)) {
						t.Errorf("%s as %s: another's words in %d %v %s", what, who.token, a.Status, a.Header, a.Body)
					}
				}
				if a.Status >= http.StatusInternalServerError {
					t.Errorf("%s: %d %s", what, a.Status, a.Body)
				}
			}
		})
	}
	wg.Wait()
	for i, who := range all {
		if after := who.own(t, s); after != before[i] {
			t.Errorf("what is %s's has changed:\n%s\n%s", who.token, before[i], after)
		}
	}
	for _, status := range []int{http.StatusOK, http.StatusNotFound} {
		if _, ok := seen.Load(status); !ok {
			t.Errorf("no call was answered with %d", status)
		}
	}
	t.Logf("%d calls across tenants: 0 canaries", calls)
}

// settle stores conversations under keys that all callers use alike.
func (w *tenant) settle(t *testing.T, s *kit.Server) {
	for n := range 3 {
		key := fmt.Sprintf("key-%d", n)
		a := s.Chat(t, kit.Ask("demo/echo", fmt.Sprintf("%s says %d", w.canary, n)), "Authorization", "Bearer "+w.token, "Idempotency-Key", key, "X-Session-Id", key)
		if a.Status != http.StatusOK {
			t.Fatalf("%s: %d %s", w.token, a.Status, a.Body)
		}
		id := a.Header.Get("X-Agentapi-Session-Id")
		got, err := s.Do(t.Context(), http.MethodGet, "/api/v1/sessions/"+id+"/messages", "", "Authorization", "Bearer "+w.token)
		var page struct{ Data []struct{ ID string } }
		if err != nil || json.Unmarshal([]byte(got.Body), &page) != nil {
			t.Fatalf("%s, %v", got.Body, err)
		}
		for _, m := range page.Data {
			w.messages = append(w.messages, m.ID)
		}
		w.sessions, w.keys = append(w.sessions, id), append(w.keys, key)
	}
}

// own is all that the caller had stored at first, as they see it.
func (w *tenant) own(t *testing.T, s *kit.Server) string {
	var out strings.Builder
	for _, id := range w.sessions {
		for _, path := range []string{"", "/messages", "/export"} {
			a, err := s.Do(t.Context(), http.MethodGet, "/api/v1/sessions/"+id+path, "", "Authorization", "Bearer "+w.token)
			if err != nil || a.Status != http.StatusOK {
				t.Errorf("%s: %d %s, %v", w.token, a.Status, a.Body, err)
			}
			out.WriteString(a.Body)
		}
	}
	return out.String()
}

// pry is one call, at random, that reaches for what is another's.
func (w *tenant) pry(ctx context.Context, r *rand.Rand, s *kit.Server, all []*tenant) (kit.Answer, string, error) {
	victim := all[r.IntN(len(all))]
	for victim == w {
		victim = all[r.IntN(len(all))]
	}
	pick := func(from ...string) string { return from[r.IntN(len(from))] }
	id, message := pick(victim.sessions...), pick(victim.messages...)
	query := url.Values{}
	if r.IntN(2) == 0 {
		query.Set(pick("after", "before"), pick(id, message, pick(w.sessions...), pick(w.messages...)))
	}
	if r.IntN(2) == 0 {
		query.Set("limit", pick("1", "2", "100", "0", "x"))
	}
	if r.IntN(3) == 0 {
		query.Set(pick("order", "status", "agent", "model", "q", "since", "until", "user", "org_id"), pick("desc", "asc", "all", "demo", "demo/echo", victim.canary[:6], "%", "2020-01-01T00:00:00Z"))
	}
	rest := ""
	if len(query) > 0 {
		rest = "?" + query.Encode()
	}
	headers := []string{"Authorization", "Bearer " + w.token}
	// Their own words for the key, session and id that are another's.
	ask := kit.Ask("demo/echo", fmt.Sprintf("%s asks %d", w.canary, r.IntN(1000)))
	method, path, body := http.MethodGet, "", ""
	switch r.IntN(9) {
	case 0:
		path = "/api/v1/sessions" + rest
	case 1:
		path = "/api/v1/sessions/" + id + rest
	case 2:
		path = "/api/v1/sessions/" + id + "/messages" + rest
	case 3:
		path = "/api/v1/sessions/" + pick(w.sessions...) + "/messages" + rest
	case 4:
		method, path = http.MethodDelete, "/api/v1/sessions/"+id
	case 5:
		method, path, body = http.MethodPatch, "/api/v1/sessions/"+id, pick(`{"title":"mine"}`, `{"archived":true}`, `{"metadata":{"owner":"me"}}`, `{}`)
		if r.IntN(2) == 0 {
			headers = append(headers, "If-Match", pick("*", `"1"`, `"2"`))
		}
	case 6:
		path = "/api/v1/sessions/" + id + pick("/export", "/export", "/messages/"+message, "/../"+id, "%2Fmessages")
	case 7:
		method, path, body = http.MethodPost, "/api/v1/sessions", fmt.Sprintf(`{"title":"%s opens","key":%q}`, w.canary, pick(victim.keys...))
		if r.IntN(2) == 0 {
			headers = append(headers, "Idempotency-Key", pick(victim.keys...))
		}
	default:
		method, path, body = http.MethodPost, "/v1/chat/completions", ask
		switch r.IntN(4) {
		case 0:
			headers = append(headers, "X-Session-Id", id)
		case 1:
			headers = append(headers, "Idempotency-Key", pick(victim.keys...), "X-Session-Id", fmt.Sprintf("new-%d", r.Uint32()))
		case 2:
			body = strings.Replace(ask, `{"model"`, fmt.Sprintf(`{"metadata":{"session_id":%q},"model"`, id), 1)
		default:
			headers = append(headers, "X-User-Id", "ann", "X-Org-Id", "acme", "OpenAI-Organization", "acme", "X-Session-Id", fmt.Sprintf("new-%d", r.Uint32()))
		}
	}
	a, err := s.Do(ctx, method, path, body, headers...)
	return a, method + " " + path, err
}

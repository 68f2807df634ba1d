package e2e

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"agentapi/test/kit"
	"agentapi/test/postgres"
)

// everywhere runs a test on a server of each storage.
func everywhere(t *testing.T, test func(t *testing.T, s *kit.Server)) {
	t.Run("in memory", func(t *testing.T) { test(t, kit.Start(t, kit.Options{Config: "storage: {driver: memory}\n"})) })
	t.Run("in SQLite", func(t *testing.T) { test(t, kit.Start(t, kit.Options{})) })
	t.Run("in Postgres", func(t *testing.T) {
		_, env := migrated(t, postgres.Shared(t))
		test(t, kit.Start(t, kit.Options{Env: env}))
	})
}

// call asks the server, and fails where the status is another.
func call(t *testing.T, s *kit.Server, status int, method, path, body string, headers ...string) kit.Answer {
	t.Helper()
	if body != "" {
		headers = append(headers, "Content-Type", "application/json")
	}
	a, err := s.Do(t.Context(), method, path, body, headers...)
	if err != nil || a.Status != status {
		t.Fatalf("%s %s: %d %s, %v", method, path, a.Status, a.Body, err)
	}
	return a
}

func TestASessionsLifeOnEveryStorage(t *testing.T) {
	everywhere(t, func(t *testing.T, s *kit.Server) {
		const opening = `{"title":"Über 100%","key":"mine","metadata":{"a":"b"}}`
		first := call(t, s, 201, http.MethodPost, "/api/v1/sessions", opening, "Idempotency-Key", "k")
		again := call(t, s, 201, http.MethodPost, "/api/v1/sessions", opening, "Idempotency-Key", "k")
		path := first.Header.Get("Location")
		if again.Body != first.Body || again.Header.Get("Idempotent-Replayed") != "true" || first.Header.Get("ETag") != `"1"` {
			t.Errorf("got %v %s and %v %s", first.Header, first.Body, again.Header, again.Body)
		}
		call(t, s, 422, http.MethodPost, "/api/v1/sessions", `{}`, "Idempotency-Key", "k")
		call(t, s, 409, http.MethodPost, "/api/v1/sessions", opening)
		if a := s.Chat(t, kit.Ask("demo/echo", "hi"), "X-Session-Id", "mine"); a.Header.Get("X-Agentapi-Session-Id") != strings.TrimPrefix(path, "/api/v1/sessions/") {
			t.Errorf("the key goes on with %v", a.Header)
		}
		for query, n := range map[string]int{
			"": 1, "?status=archived": 0, "?q=%C3%BCBER": 1, "?q=0%25": 1, "?q=_": 0, "?agent=demo&model=echo": 1, "?since=2100-01-01T00:00:00Z": 0, "?until=2100-01-01T00:00:00Z": 1,
		} {
			if a := call(t, s, 200, http.MethodGet, "/api/v1/sessions"+query, ""); strings.Count(a.Body, `"object":"session"`) != n {
				t.Errorf("%s: %s", query, a.Body)
			}
		}
		tag := call(t, s, 200, http.MethodGet, path, "").Header.Get("ETag")
		call(t, s, 304, http.MethodGet, path, "", "If-None-Match", tag)
		call(t, s, 412, http.MethodPatch, path, `{"title":"x"}`, "If-Match", `"1"`)
		a := call(t, s, 200, http.MethodPatch, path, `{"archived":true,"metadata":{"a":null,"c":"d"}}`, "If-Match", tag)
		if got := call(t, s, 200, http.MethodGet, path, ""); got.Body != a.Body || got.Header.Get("ETag") != a.Header.Get("ETag") || !strings.Contains(a.Body, `"metadata":{"c":"d"}`) {
			t.Errorf("patched %s\nstored %s", a.Body, got.Body)
		}
		if a := s.Chat(t, kit.Ask("demo/echo", "more"), "X-Session-Id", "mine"); a.Status != http.StatusConflict || !strings.Contains(a.Body, "session_archived") {
			t.Errorf("an archived session: %d %s", a.Status, a.Body)
		}
		export := call(t, s, 200, http.MethodGet, path+"/export", "")
		if !json.Valid([]byte(export.Body)) || strings.Count(export.Body, `"session.message"`) != 2 {
			t.Errorf("exported %s", export.Body)
		}
		call(t, s, 412, http.MethodDelete, path, "", "If-Match", tag)
		call(t, s, 200, http.MethodDelete, path, "", "If-Match", a.Header.Get("ETag"))
		call(t, s, 404, http.MethodGet, path+"/export", "")
	})
}

// Of many that change one version of a session one does.
func TestOneOfManyChangesAVersion(t *testing.T) {
	everywhere(t, func(t *testing.T, s *kit.Server) {
		path := call(t, s, 201, http.MethodPost, "/api/v1/sessions", "").Header.Get("Location")
		var (
			all sync.WaitGroup
			mu  sync.Mutex
			met = map[int]int{}
		)
		for i := range 16 {
			all.Go(func() {
				a, err := s.Do(t.Context(), http.MethodPatch, path, fmt.Sprintf(`{"title":"%d"}`, i), "Content-Type", "application/json", "If-Match", `"1"`)
				if err != nil {
					t.Error(err)
				}
				mu.Lock()
				defer mu.Unlock()
				met[a.Status]++
			})
		}
		all.Wait()
		if met[http.StatusOK] != 1 || met[http.StatusPreconditionFailed] != 15 {
			t.Errorf("got %v", met)
		}
	})
}

func TestSessionsAreKeptInOrderFromTheCommandLine(t *testing.T) {
	s := kit.Start(t, kit.Options{})
	id := s.Chat(t, `{"model":"demo/echo","messages":[{"role":"user","content":"red \u001b[31mletters"}]}`).Header.Get("X-Agentapi-Session-Id")
	time.Sleep(2 * time.Millisecond) // ids of one millisecond have no order
	s.Chat(t, kit.Ask("demo/echo", "another"))
	env := []string{"AGENTAPI_URL=" + s.URL, "AGENTAPI_TOKEN=" + kit.Token}
	for _, step := range []struct {
		code  int
		wants []string
		args  []string
	}{
		{0, []string{"ID ", "TITLE", id, "demo/echo", "another"}, []string{"list"}},
		{0, []string{"another"}, []string{"list", "--limit", "1"}},
		{0, []string{"title", "open", "user:\nred �[31mletters", "assistant:"}, []string{"show", id}},
		{0, []string{`"id":"` + id + `"`}, []string{"show", id, "--json"}},
		{0, []string{"renamed " + id}, []string{"rename", id, "my", "own"}},
		{0, []string{`"title":"my own"`}, []string{"list", "--search", "MY", "--json"}},
		{0, []string{"[]"}, []string{"list", "--status", "archived", "--json"}},
		{0, []string{"archived " + id}, []string{"archive", id}},
		{0, []string{id, "archived", "my own"}, []string{"list", "--status", "archived"}},
		{0, []string{`"archived":false`}, []string{"archive", id, "--undo", "--json"}},
		{0, []string{`"object":"session.export"`, `"content":"red \u001b[31mletters"`}, []string{"export", id}},
		{2, []string{"gone for good", "--yes"}, []string{"delete", id}},
		{0, []string{"deleted " + id}, []string{"delete", id, "--yes"}},
		{1, []string{"There is no such session."}, []string{"show", id}},
		{1, []string{"status must be"}, []string{"list", "--status", "x"}},
		{2, []string{"unknown command", "did you mean agentapi sessions list?"}, []string{"lst"}},
	} {
		out, code := agentapi(t, env, append([]string{"sessions"}, step.args...)...)
		if code != step.code {
			t.Errorf("%v: exit code %d: %s", step.args, code, out)
		}
		for _, w := range step.wants {
			if !strings.Contains(out, w) {
				t.Errorf("%v: %q is not in\n%s", step.args, w, out)
			}
		}
		if strings.Contains(out, "\x1b") {
			t.Errorf("%v: what others wrote steers the terminal", step.args)
		}
	}
	if out, code := agentapi(t, []string{"AGENTAPI_URL=http://127.0.0.1:1"}, "sessions", "list"); code != 4 || !strings.Contains(out, "agentapi serve") {
		t.Errorf("without a server: %d, %s", code, out)
	}
}

func TestOfManyWhoOpenOrChangeOneSessionOneDoes(t *testing.T) {
	_, env := migrated(t, postgres.Shared(t))
	for storage, o := range map[string]kit.Options{"sqlite": {}, "postgres": {Env: env}} {
		t.Run(storage, func(t *testing.T) {
			t.Parallel()
			s := kit.Start(t, o)
			at := once(t, func(int) (kit.Answer, error) {
				return s.Do(t.Context(), http.MethodPost, "/api/v1/sessions", `{"title":"one"}`, "Idempotency-Key", "k")
			}, http.StatusConflict).Header.Get("Location")
			once(t, func(int) (kit.Answer, error) {
				return s.Do(t.Context(), http.MethodPost, "/api/v1/sessions", `{"key":"mine"}`)
			}, http.StatusConflict)
			if a, err := s.Do(t.Context(), http.MethodGet, "/api/v1/sessions", ""); err != nil || strings.Count(a.Body, `"object":"session"`) != 2 {
				t.Errorf("got %s, %v", a.Body, err)
			}
			a := once(t, func(i int) (kit.Answer, error) {
				return s.Do(t.Context(), http.MethodPatch, at, fmt.Sprintf(`{"title":"by %d"}`, i), "If-Match", `"1"`)
			}, http.StatusPreconditionFailed)
			if got, err := s.Do(t.Context(), http.MethodGet, at, ""); err != nil || got.Body != a.Body || got.Header.Get("ETag") != `"2"` {
				t.Errorf("got %s, %v, and not %s", got.Body, err, a.Body)
			}
		})
	}
}

// once makes a request many times at once, of which one may do it; the others get
// its answer again or are told why not. It gives the one's answer.
func once(t *testing.T, do func(i int) (kit.Answer, error), otherwise int) (won kit.Answer) {
	t.Helper()
	var (
		all  sync.WaitGroup
		mu   sync.Mutex
		wins int
	)
	for i := range 24 {
		all.Go(func() {
			a, err := do(i)
			mu.Lock()
			defer mu.Unlock()
			switch {
			case err != nil:
				t.Error(err)
			case a.Status < 300 && a.Header.Get("Idempotent-Replayed") == "":
				won = a
				wins++
			case a.Status >= 300 && a.Status != otherwise:
				t.Errorf("got %d %s", a.Status, a.Body)
			}
		})
	}
	all.Wait()
	if wins != 1 {
		t.Errorf("%d did it", wins)
	}
	return won
}

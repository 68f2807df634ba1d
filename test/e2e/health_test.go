package e2e

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"agentapi/test/kit"
	"agentapi/test/postgres"
)

const upPath = "/api/v1/platform/agents/up"

func TestAnAgentIsDrainedAndWorksAgain(t *testing.T) {
	configured(t, fleet(t, "half"), func(t *testing.T, s *kit.Server, again func() *kit.Server) {
		admin := as("platform_admin")
		resp, err := s.Open(t.Context(), http.MethodPost, "/v1/chat/completions", kit.AskStream("up/mock-1", "hello"), as("victim")...)
		if err != nil || resp.StatusCode != 200 {
			t.Fatal(resp, err)
		}
		defer resp.Body.Close()
		runs(t, s, 1)
		call(t, s, 403, http.MethodPost, upPath+"/drain", "{}", as("platform_auditor")...)
		call(t, s, 404, http.MethodPost, "/api/v1/platform/agents/nope/drain", "{}", admin...)
		call(t, s, 400, http.MethodPost, upPath+"/drain", `{"now":true}`, admin...)
		call(t, s, 412, http.MethodPost, upPath+"/drain", "{}", append(admin, "If-Match", `"7"`)...)
		drained := object(t, call(t, s, 200, http.MethodPost, upPath+"/drain", "{}", append(admin, "If-Match", `"1"`)...))
		if drained["draining"] != true || drained["running"] != 1.0 || drained["enabled"] != true || drained["version"] != 2.0 {
			t.Errorf("drained, it is %v", drained)
		}
		if m := object(t, call(t, s, 200, http.MethodPost, upPath+"/drain", "", admin...)); m["version"] != 2.0 {
			t.Errorf("drained again, it is %v", m)
		}
		feels := func(s *kit.Server) {
			t.Helper()
			if a := s.Chat(t, kit.Ask("team", "hello"), as("victim")...); a.Status != 200 || a.Header.Get("X-Agentapi-Agent") != "two" || a.Header.Get("X-Agentapi-Attempts") != "1" {
				t.Errorf("team: %d by %q after %s: %s", a.Status, a.Header.Get("X-Agentapi-Agent"), a.Header.Get("X-Agentapi-Attempts"), a.Body)
			}
			if a := s.Chat(t, kit.Ask("lone", "hello"), as("victim")...); a.Status != 503 || !strings.Contains(a.Body, `"code":"agent_unavailable"`) || a.Header.Get("Retry-After") == "" {
				t.Errorf("lone: %d %v %s", a.Status, a.Header, a.Body)
			}
		}
		feels(s)
		runs(t, s, 1) // what has begun goes on
		id := fmt.Sprint(runs(t, s, 1)[0]["id"])
		call(t, s, 200, http.MethodDelete, "/api/v1/platform/sessions/"+id, "", admin...)
		if _, err := io.ReadAll(resp.Body); err != nil {
			t.Error(err)
		}
		if s = again(); !strings.HasSuffix(t.Name(), "in_memory") {
			feels(s)
			if m := object(t, call(t, s, 200, http.MethodGet, upPath, "", admin...)); m["draining"] != true || m["running"] != 0.0 {
				t.Errorf("after a restart it is %v", m)
			}
		}
		call(t, s, 200, http.MethodPost, upPath+"/drain", "", admin...)
		env := []string{"AGENTAPI_URL=" + s.URL, "AGENTAPI_TOKEN=token-of-platform_admin"}
		if out, code := agentapi(t, env, "agents", "resume", "up"); code != 0 || !strings.HasPrefix(out, "up works; it is ") {
			t.Errorf("%d %s", code, out)
		}
		if m := object(t, call(t, s, 200, http.MethodGet, upPath, "", admin...)); m["draining"] != false {
			t.Errorf("resumed, it is %v", m)
		}
		if out, code := agentapi(t, env, "agents", "drain", "up"); code != 0 || !strings.HasPrefix(out, "up is drained; 0 requests still run on this server") {
			t.Errorf("%d %s", code, out)
		}
		if out, code := agentapi(t, env, "agents", "drain", "nope"); code != 1 || !strings.Contains(out, "no such agent") {
			t.Errorf("%d %s", code, out)
		}
		log := call(t, s, 200, http.MethodGet, "/api/v1/platform/audit?action=agent.drained", "", admin...).Body
		if n := strings.Count(log, `"action":"agent.drained"`); n != 2 {
			t.Errorf("%d drains are in the log: %s", n, log)
		}
	})
}

// states is the history of an agent, the oldest first.
func states(t *testing.T, s *kit.Server, agent string) string {
	t.Helper()
	var list struct{ Data []struct{ State string } }
	a := call(t, s, 200, http.MethodGet, "/api/v1/platform/agents/"+agent+"/health?order=asc", "", as("platform_auditor")...)
	if err := json.Unmarshal([]byte(a.Body), &list); err != nil {
		t.Fatal(err)
	}
	var all []string
	for _, c := range list.Data {
		all = append(all, c.State)
	}
	return strings.Join(all, " ")
}

func TestAnAgentThatFailsIsAskedLastUntilItIsReset(t *testing.T) {
	configured(t, fleet(t, "500"), func(t *testing.T, s *kit.Server, _ func() *kit.Server) {
		admin := as("platform_admin")
		if !kit.Soon(5*time.Second, func() bool { return states(t, s, "up") == "healthy" }) {
			t.Fatalf("it begins as %s", states(t, s, "up"))
		}
		for n := range 4 {
			a := s.Chat(t, kit.Ask("team", "hello"), as("victim")...)
			want := "2"
			if n == 3 {
				want = "1" // three failures in a row made up unhealthy
			}
			if a.Status != 200 || a.Header.Get("X-Agentapi-Agent") != "two" || a.Header.Get("X-Agentapi-Attempts") != want {
				t.Errorf("%d. request: %d by %s after %s attempts", n+1, a.Status, a.Header.Get("X-Agentapi-Agent"), a.Header.Get("X-Agentapi-Attempts"))
			}
		}
		// Who has no other is not given up.
		for range 2 {
			if a := s.Chat(t, kit.Ask("lone", "hello"), as("victim")...); a.Status != 502 {
				t.Errorf("lone: %d %s", a.Status, a.Body)
			}
		}
		one := object(t, call(t, s, 200, http.MethodGet, upPath, "", admin...))
		breakers, _ := one["breakers"].([]any)
		if one["state"] != "unhealthy" || len(breakers) != 1 || breakers[0].(map[string]any)["model"] != "mock-1" || breakers[0].(map[string]any)["state"] != "open" {
			t.Errorf("it is %v", one)
		}
		if !kit.Soon(5*time.Second, func() bool { return states(t, s, "up") == "healthy degraded unhealthy" }) {
			t.Errorf("its history is %s", states(t, s, "up"))
		}
		ready := call(t, s, 200, http.MethodGet, "/readyz", "").Body
		if !strings.HasPrefix(ready, "ok\ndegraded: agents models_unavailable since 20") {
			t.Errorf("readiness says %s", ready)
		}
		plain := call(t, s, 200, http.MethodGet, "/health", "", "Authorization", "").Body
		shown := call(t, s, 200, http.MethodGet, "/health", "", as("platform_auditor")...).Body
		member := call(t, s, 200, http.MethodGet, "/health", "", as("org_admin")...).Body
		if !strings.HasPrefix(plain, `{"status":"warn"`) || strings.Contains(plain, "output") || strings.Contains(member, "output") || !strings.Contains(shown, `"output":"no agent that is well answers to lone`) || strings.Contains(shown, "secret-of-upstream") {
			t.Errorf("strangers see %s\na member sees %s\noperators see %s", plain, member, shown)
		}

		call(t, s, 403, http.MethodPost, upPath+"/reset", "{}", as("org_owner")...)
		reset := object(t, call(t, s, 200, http.MethodPost, upPath+"/reset", "{}", admin...))
		if breakers, _ := reset["breakers"].([]any); breakers == nil || len(breakers) != 0 || reset["state"] == "unhealthy" {
			t.Errorf("reset, it is %v", reset)
		}
		if a := s.Chat(t, kit.Ask("team", "hello"), as("victim")...); a.Status != 200 || a.Header.Get("X-Agentapi-Attempts") != "2" {
			t.Errorf("it is not asked again: %d after %s attempts", a.Status, a.Header.Get("X-Agentapi-Attempts"))
		}
		if !kit.Soon(5*time.Second, func() bool { return strings.HasPrefix(states(t, s, "up"), "healthy degraded unhealthy unknown ") }) {
			t.Errorf("its history is %s", states(t, s, "up"))
		}
		out, code := agentapi(t, []string{"AGENTAPI_URL=" + s.URL, "AGENTAPI_TOKEN=token-of-platform_admin"}, "agents", "health", "up")
		if code != 0 || !strings.Contains(out, "unhealthy") || !strings.Contains(out, "0/0 probes, 2/2 runs") {
			t.Errorf("%d %s", code, out)
		}
		call(t, s, 404, http.MethodGet, "/api/v1/platform/agents/nope/health", "", admin...)
		call(t, s, 400, http.MethodGet, upPath+"/health?after=nonsense", "", admin...)
		if log := call(t, s, 200, http.MethodGet, "/api/v1/platform/audit?action=agent.reset", "", admin...).Body; strings.Count(log, `"action":"agent.reset"`) != 1 {
			t.Errorf("the log has %s", log)
		}
	})
}

func TestAnotherInstanceDrainsAndResetsSoon(t *testing.T) {
	t.Parallel()
	_, env := migrated(t, postgres.Shared(t))
	o := kit.Options{Config: fleet(t, "500"), Env: env}
	one, other := kit.Start(t, o), kit.Start(t, o)
	for range 5 {
		_ = other.Chat(t, kit.Ask("lone", "hello"), as("victim")...)
	}
	open := func() int {
		breakers, _ := object(t, call(t, other, 200, http.MethodGet, upPath, "", as("platform_admin")...))["breakers"].([]any)
		return len(breakers)
	}
	if open() != 1 {
		t.Fatal("the breaker is not open")
	}
	call(t, one, 200, http.MethodPost, upPath+"/reset", "{}", as("platform_admin")...)
	call(t, one, 200, http.MethodPost, upPath+"/drain", "{}", as("platform_admin")...)
	began := time.Now()
	if !kit.Soon(30*time.Second, func() bool {
		a := other.Chat(t, kit.Ask("lone", "hello"), as("victim")...)
		return a.Status == 503 && strings.Contains(a.Body, "taken out of service") && open() == 0
	}) {
		t.Error("the other instance does not follow within 30 s")
	}
	t.Logf("felt after %v", time.Since(began).Round(time.Millisecond))
}

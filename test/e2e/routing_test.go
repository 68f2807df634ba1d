package e2e

import (
	"fmt"
	"net/http"
	"strings"
	"testing"

	"agentapi/test/kit"
)

func TestARequestIsExplained(t *testing.T) {
	configured(t, fleet(t, "500"), func(t *testing.T, s *kit.Server, _ func() *kit.Server) {
		explain := func(id string) map[string]any {
			t.Helper()
			return object(t, call(t, s, 200, http.MethodGet, "/api/v1/platform/requests/"+id+"/explain", "", as("platform_auditor")...))
		}
		a := s.Chat(t, kit.Ask("team", "what-was-said"), as("victim")...)
		id := a.Header.Get("X-Request-Id")
		e := explain(id)
		attempts, _ := e["attempts"].([]any)
		if a.Status != 200 || len(attempts) != 2 || e["route"] != "alias" || e["strategy"] != "ordered" || e["status"] != "completed" || e["error"] != nil || e["reason"] != "it is the first in order" {
			t.Fatalf("%d %v", a.Status, e)
		}
		first, second := attempts[0].(map[string]any), attempts[1].(map[string]any)
		if failed, _ := first["error"].(map[string]any); first["agent"] != "up" || first["result"] != "failed" || failed["kind"] != "upstream" || failed["code"] != "upstream_error" || second["agent"] != "two" || second["result"] != "answered" {
			t.Errorf("attempts: %v", attempts)
		}
		if strings.Contains(fmt.Sprint(e), "what-was-said") || strings.Contains(fmt.Sprint(e), "secret-of-upstream") {
			t.Errorf("it tells what was said: %v", e)
		}
		// A refusal is explained as well: of who cannot, and of a name that nobody has.
		a = s.Chat(t, `{"model":"two/echo","wibble":1,"messages":[{"role":"user","content":"x"}]}`, as("victim")...)
		e = explain(a.Header.Get("X-Request-Id"))
		if c := fmt.Sprint(e["candidates"]); a.Status != 400 || e["status"] != "failed" || !strings.Contains(c, "incapable") || !strings.Contains(c, "lacks:wibble") {
			t.Errorf("%d %v", a.Status, e)
		}
		a = s.Chat(t, kit.Ask("nope", "x"), as("victim")...)
		if e = explain(a.Header.Get("X-Request-Id")); a.Status != 404 || e["route"] != nil || e["status"] != "failed" {
			t.Errorf("%d %v", a.Status, e)
		}
		call(t, s, 200, http.MethodPost, "/api/v1/platform/agents/two/drain", "{}", as("platform_admin")...)
		a = s.Chat(t, kit.Ask("team", "x"), as("victim")...)
		if e = explain(a.Header.Get("X-Request-Id")); a.Status != 502 || !strings.Contains(fmt.Sprint(e["candidates"]), "verdict:drained") || e["reason"] != "it is the only one" {
			t.Errorf("%d %v", a.Status, e)
		}

		call(t, s, 403, http.MethodGet, "/api/v1/platform/requests/"+id+"/explain", "", as("org_owner")...)
		if a := call(t, s, 404, http.MethodGet, "/api/v1/platform/requests/req_0/explain", "", as("platform_admin")...); !strings.Contains(a.Body, "request_not_found") || !strings.Contains(a.Body, "last 2,000") {
			t.Errorf("%s", a.Body)
		}
		env := []string{"AGENTAPI_URL=" + s.URL, "AGENTAPI_TOKEN=token-of-platform_admin"}
		out, code := agentapi(t, env, "requests", "explain", id)
		for _, want := range []string{id + " asked for team at ", "found by alias, ordered: up/mock-1 comes first: it is the first in order\n", "two/echo   eligible\n", "1        up/mock-1  failed    ", "upstream (upstream_error)\n", "\ncompleted after "} {
			if code != 0 || !strings.Contains(out, want) {
				t.Errorf("%d: no %q in\n%s", code, want, out)
			}
		}
		if out, code := agentapi(t, env, "requests", "explain", "--json", id); code != 0 || !strings.HasPrefix(out, `{"id":"`+id) {
			t.Errorf("%d %s", code, out)
		}
		if out, code := agentapi(t, env, "requests", "explain", "req_0"); code != 1 || !strings.Contains(out, "last 2,000") {
			t.Errorf("%d %s", code, out)
		}
	})
}

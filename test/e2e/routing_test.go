package e2e

import (
	"fmt"
	"net/http"
	"strings"
	"testing"

	"agentapi/test/kit"
)

func TestARequestIsExplained(t *testing.T) {
	configured(t, fleet(t, "500"), func(t *testing.T, s *kit.Server, again func() *kit.Server) {
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

		// After a restart it is known still how it ended, where something is kept.
		if s = again(); strings.HasSuffix(t.Name(), "in_memory") {
			return
		}
		e = explain(id)
		if r, _ := e["recalled"].(map[string]any); r["agent"] != "two" || r["model"] != "echo" || r["attempts"] != 2.0 || r["recorded_at"] == nil || e["status"] != "completed" || e["strategy"] != nil || e["error"] != nil {
			t.Errorf("after a restart: %v", e)
		}
		env[0] = "AGENTAPI_URL=" + s.URL
		out, code = agentapi(t, env, "requests", "explain", id)
		for _, want := range []string{id + " of org_", " completed at 20", "two/echo was asked last, after 2 attempts\n", "not remembered any more"} {
			if code != 0 || !strings.Contains(out, want) {
				t.Errorf("%d: no %q in\n%s", code, want, out)
			}
		}
		call(t, s, 404, http.MethodGet, "/api/v1/platform/requests/req_0/explain", "", as("platform_admin")...)
	})
}

func TestAnOrganisationAsksForAllowedModelsOnly(t *testing.T) {
	configured(t, fleet(t, "ok"), func(t *testing.T, s *kit.Server, again func() *kit.Server) {
		me := object(t, call(t, s, 200, http.MethodGet, "/api/v1/me", "", as("victim")...))
		path := "/api/v1/orgs/" + fmt.Sprint(me["org_id"]) + "/allowed-models"
		admin := as("platform_admin")
		if m := object(t, call(t, s, 200, http.MethodGet, path, "", admin...)); m["models"] != nil {
			t.Errorf("at first %v are allowed", m)
		}
		nobody := s.Chat(t, kit.Ask("nope", "x"), as("victim")...).Body
		// see tells which models are listed, and asks for each of some.
		see := func(listed string, asks map[string]string) {
			t.Helper()
			var ids []string
			for _, m := range object(t, call(t, s, 200, http.MethodGet, "/v1/models", "", as("victim")...))["data"].([]any) {
				ids = append(ids, fmt.Sprint(m.(map[string]any)["id"]))
			}
			if got := strings.Join(ids, " "); got != listed {
				t.Errorf("listed are %s, not %s", got, listed)
			}
			if a := call(t, s, 200, http.MethodGet, strings.TrimSuffix(path, "allowed-models")+"models?limit=100", "", admin...); strings.Count(a.Body, `"object":"model"`) != len(ids) {
				t.Errorf("an administrator sees %s", a.Body)
			}
			for model, by := range asks {
				a := s.Chat(t, kit.Ask(model, "x"), as("victim")...)
				if by == "" {
					hint, _, _ := strings.Cut(strings.ReplaceAll(nobody, "nope", model), `"hint"`)
					if got, _, _ := strings.Cut(a.Body, `"hint"`); a.Status != 404 || got != hint {
						t.Errorf("%s: %d %s, not %s", model, a.Status, got, hint)
					}
				} else if got := a.Header.Get("X-Agentapi-Agent"); a.Status != 200 || got != by {
					t.Errorf("%s: %d by %q: %s", model, a.Status, got, a.Body)
				}
				if a := call(t, s, map[bool]int{true: 404, false: 200}[by == ""], http.MethodGet, "/v1/models/"+model, "", as("victim")...); a.Body == "" {
					t.Error("no body")
				}
			}
		}
		all := "lone team mock-1 echo two/echo up/mock-1 up/echo"
		see(all, map[string]string{"team": "up", "echo": "up", "two/echo": "two", "lone": "up"})
		call(t, s, 403, http.MethodPatch, path, `{"models":["team"]}`, as("org_owner")...)
		call(t, s, 403, http.MethodPatch, path, `{"models":["team"]}`, as("platform_auditor")...)
		for body, code := range map[string]string{`{"models":[]}`: "invalid_value", `{"models":["a*b"]}`: "invalid_value", `{"models":[1]}`: "invalid_type", `{"names":[]}`: "unknown_parameter"} {
			if a := call(t, s, 400, http.MethodPatch, path, body, admin...); !strings.Contains(a.Body, code) {
				t.Errorf("%s: %s", body, a.Body)
			}
		}
		call(t, s, 412, http.MethodPatch, path, `{"models":["team"]}`, append(admin, "If-Match", `"77"`)...)
		call(t, s, 200, http.MethodPatch, path, `{"models":["two/*","lone"]}`, admin...)
		part := func() {
			t.Helper()
			see("lone team echo two/echo", map[string]string{"team": "two", "echo": "two", "two/echo": "two", "lone": "up", "up/mock-1": "", "mock-1": "", "up/echo": "", "nope": ""})
		}
		part()
		// What is not allowed is not there, even while its agent is out of service.
		call(t, s, 200, http.MethodPost, upPath+"/drain", "{}", admin...)
		see("team echo two/echo", map[string]string{"up/mock-1": "", "team": "two"})
		call(t, s, 200, http.MethodPost, upPath+"/resume", "{}", admin...)
		a := s.Chat(t, kit.Ask("team", "x"), as("victim")...)
		e := object(t, call(t, s, 200, http.MethodGet, "/api/v1/platform/requests/"+a.Header.Get("X-Request-Id")+"/explain", "", admin...))
		if c := fmt.Sprint(e["candidates"]); !strings.Contains(c, "agent:up") || !strings.Contains(c, "verdict:not_allowed") {
			t.Errorf("explained as %v", e)
		}
		if s = again(); !strings.HasSuffix(t.Name(), "in_memory") {
			part()
		}
		env := []string{"AGENTAPI_URL=" + s.URL, "AGENTAPI_TOKEN=token-of-platform_admin"}
		org := fmt.Sprint(me["org_id"])
		if out, code := agentapi(t, env, "models", "allow", "up/mock-1", "--org", org); code != 0 || out != org+" may ask for\n  up/mock-1\n" {
			t.Errorf("%d %s", code, out)
		}
		see("lone team mock-1 up/mock-1", map[string]string{"team": "up", "two/echo": ""})
		if out, code := agentapi(t, env, "models", "list"); code != 0 || out != "lone\nteam\nmock-1\nup/mock-1\n" {
			t.Errorf("%d %s", code, out)
		}
		if out, code := agentapi(t, env, "models", "allow", "--all", "--org", org); code != 0 || out != org+" may ask for all models\n" {
			t.Errorf("%d %s", code, out)
		}
		if out, code := agentapi(t, env, "models", "allow", "--org", org); code != 2 {
			t.Errorf("%d %s", code, out)
		}
		see(all, nil)
		log := call(t, s, 200, http.MethodGet, "/api/v1/platform/audit?action=org.changed", "", admin...).Body
		if !strings.Contains(log, `"models":"lone two/*"`) && !strings.HasSuffix(t.Name(), "in_memory") || !strings.Contains(log, `"models":"up/mock-1"`) {
			t.Errorf("the log has %s", log)
		}
	})
}

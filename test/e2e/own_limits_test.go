package e2e

import (
	"fmt"
	"net/http"
	"strings"
	"testing"

	"agentapi/test/kit"
)

// holding is what holds by one limit, and where it is from.
func holding(t *testing.T, v map[string]any, bound string) string {
	t.Helper()
	e := v["effective"].(map[string]any)[bound].(map[string]any)
	return fmt.Sprint(e["limit"], " ", e["from"])
}

func TestLimitsAreGivenWithinThoseOfTheOrganisation(t *testing.T) {
	config := staff + "limits: {organization: {requests_per_day: 500}, user: {requests_per_day: 3}, instances: 1}\n"
	configured(t, config, func(t *testing.T, s *kit.Server, _ func() *kit.Server) {
		me := object(t, call(t, s, 200, http.MethodGet, "/api/v1/me", "", as("org_member")...))
		whole := "/api/v1/orgs/" + fmt.Sprint(me["org_id"])
		own := whole + "/members/" + fmt.Sprint(me["user_id"]) + "/limits"
		key, credential := newKey(t, s, "org_member", "/api/v1/me/api-keys", `{"name":"laptop"}`)
		keys := whole + "/api-keys/" + fmt.Sprint(key["id"]) + "/limits"
		change := func(code int, who, path, body string) map[string]any {
			t.Helper()
			return object(t, call(t, s, code, http.MethodPatch, path, body, as(who)...))
		}
		if got := object(t, call(t, s, 200, http.MethodGet, own, "", as("org_admin")...)); holding(t, got, "requests_per_day") != "3 default" || holding(t, got, "concurrent") != "<nil> default" || got["user_id"] != me["user_id"] {
			t.Errorf("at first it is %v", got)
		}
		change(403, "org_owner", whole+"/limits", `{"requests_per_day":1000}`) // it is the platform's
		if got := change(200, "platform_admin", whole+"/limits", `{"requests_per_day":400}`); holding(t, got, "requests_per_day") != "400 own" {
			t.Errorf("the organisation's is %v", got)
		}
		for _, bad := range []string{`{"requests_per_day":401}`, `{"requests_per_day":0}`, `{"requests_per_day":-1}`, `{"requests_per_day":1.5}`, `{"requests_per_day":"1"}`, `{"requests":1}`} {
			change(400, "org_admin", own, bad)
		}
		change(403, "org_member", own, `{"requests_per_day":9}`)
		call(t, s, 404, http.MethodGet, whole+"/members/user_01kdy7585ee0080000000000ke/limits", "", as("org_admin")...)
		call(t, s, 404, http.MethodGet, own, "", as("eve")...)
		if got := change(200, "org_admin", own, `{"requests_per_day":5}`); holding(t, got, "requests_per_day") != "5 own" {
			t.Errorf("the member's is %v", got)
		}
		a := call(t, s, 200, http.MethodGet, own, "", as("org_admin")...)
		call(t, s, 412, http.MethodPatch, own, `{"requests_per_day":6}`, append(as("org_admin"), "If-Match", `"99"`)...)
		call(t, s, 200, http.MethodPatch, own, `{"requests_per_day":5}`, append(as("org_admin"), "If-Match", a.Header.Get("ETag"))...)
		if got := change(200, "org_admin", keys, `{"requests_per_day":2}`); holding(t, got, "requests_per_day") != "2 own" {
			t.Errorf("the key's is %v", got)
		}
		asked := func(credential string, n int) (given int) {
			for range n {
				switch a := s.Chat(t, kit.Ask("demo/echo", "hello"), "Authorization", "Bearer "+credential); {
				case a.Status == 200:
					given++
				case a.Status != 429 || !strings.Contains(a.Body, "requests per day"):
					t.Fatalf("%d %s", a.Status, a.Body)
				}
			}
			return given
		}
		if n := asked(credential, 5); n != 2 {
			t.Errorf("the key admits %d, not 2", n)
		}
		if n := asked("token-of-org_member", 5); n != 3 {
			t.Errorf("with two by the key the member is given %d more, not 3", n)
		}
		if n := asked("token-of-victim", 5); n != 3 {
			t.Errorf("who was given nothing is given %d, not 3", n)
		}
		// What the organisation is given less of binds all.
		change(200, "platform_admin", whole+"/limits", `{"requests_per_day":4}`)
		if got := object(t, call(t, s, 200, http.MethodGet, own, "", as("platform_auditor")...)); holding(t, got, "requests_per_day") != "4 organization" || fmt.Sprint(got["own"].(map[string]any)["requests_per_day"]) != "5" {
			t.Errorf("of a stricter organisation it is %v", got)
		}
		if got := change(200, "org_admin", own, `{"requests_per_day":null}`); holding(t, got, "requests_per_day") != "3 default" {
			t.Errorf("taken back it is %v", got)
		}
		if log := call(t, s, 200, http.MethodGet, whole+"/audit?action=limits.changed", "", as("org_auditor")...); strings.Count(log.Body, `"limits.changed"`) != 6 || !strings.Contains(log.Body, `"requests_per_day":"default"`) {
			t.Errorf("the log has %s", log.Body)
		}
	})
}

func TestLimitsFromATerminal(t *testing.T) {
	s := kit.Start(t, kit.Options{Config: staff + "limits: {user: {requests_per_minute: 60}}\n"})
	run := func(code int, who string, args ...string) string {
		t.Helper()
		out, got := agentapi(t, []string{"AGENTAPI_URL=" + s.URL, "AGENTAPI_TOKEN=token-of-" + who}, append([]string{"limits"}, args...)...)
		if got != code {
			t.Fatalf("%v: exit code %d:\n%s", args, got, out)
		}
		return strings.Join(strings.Fields(out), " ")
	}
	user := fmt.Sprint(object(t, call(t, s, 200, http.MethodGet, "/api/v1/me", "", as("org_member")...))["user_id"])
	if out := run(0, "org_admin", "show", "--user", user); !strings.Contains(out, "requests_per_minute 60 default requests_per_day none default") {
		t.Errorf("shown: %s", out)
	}
	run(0, "platform_admin", "set", "requests_per_minute=100")
	if out := run(0, "org_admin", "set", "requests_per_minute=90", "concurrent=2", "--user", user); !strings.Contains(out, "requests_per_minute 90 own") || !strings.Contains(out, "concurrent 2 own") {
		t.Errorf("set: %s", out)
	}
	if out := run(0, "org_admin", "set", "requests_per_minute=default", "--user", user); !strings.Contains(out, "requests_per_minute 60 default") {
		t.Errorf("taken back: %s", out)
	}
	if out := run(0, "org_admin", "show", "--json"); !strings.Contains(out, `"limit":100`) {
		t.Errorf("as JSON: %s", out)
	}
	for _, bad := range []string{"requests_per_minute", "requests_per_minute=many"} {
		run(2, "org_admin", "set", bad, "--user", user)
	}
	run(1, "org_admin", "set", "requests_per_minute=101", "--user", user)
	run(1, "org_admin", "set", "request=1", "--user", user)
}

package e2e

import (
	"encoding/csv"
	"fmt"
	"net/http"
	"strings"
	"testing"

	"agentapi/test/kit"
)

func TestUsageIsReportedToWhoMaySeeIt(t *testing.T) {
	staffed(t, func(t *testing.T, s *kit.Server, _ func() *kit.Server) {
		var asked, told float64 // prompt tokens of the victim's
		for _, c := range []struct{ who, model string }{{"victim", "demo/echo"}, {"victim", "demo/echo"}, {"victim", "demo/story"}, {"org_admin", "demo/echo"}, {"eve", "demo/echo"}} {
			a := object(t, s.Chat(t, kit.Ask(c.model, "one two three"), as(c.who)...))
			if c.who == "victim" {
				asked += a["usage"].(map[string]any)["prompt_tokens"].(float64)
			}
		}
		rows := func(who, path string) (all []map[string]any) {
			t.Helper()
			for _, row := range object(t, call(t, s, 200, http.MethodGet, path, "", as(who)...))["data"].([]any) {
				all = append(all, row.(map[string]any))
			}
			return all
		}
		requests := func(all []map[string]any) (n float64) {
			for _, row := range all {
				n += row["requests"].(float64)
			}
			return n
		}
		own := rows("victim", "/api/v1/me/usage")
		for _, row := range own {
			told += row["prompt_tokens"].(float64)
		}
		if requests(own) != 3 || told != asked || own[0]["model"] != nil {
			t.Errorf("the victim's own: %v, of %v tokens", own, asked)
		}
		me := object(t, call(t, s, 200, http.MethodGet, "/api/v1/me", "", as("victim")...))
		org := "/api/v1/orgs/" + fmt.Sprint(me["org_id"]) + "/usage"
		if all := rows("org_auditor", org+"?group_by=model,agent"); requests(all) != 4 || len(all) != 2 || all[0]["agent"] != "demo" {
			t.Errorf("the organisation's: %v", all)
		}
		if some := rows("org_owner", org+"?interval=1h&model=story&user="+fmt.Sprint(me["user_id"])); requests(some) != 1 {
			t.Errorf("the victim's stories: %v", some)
		}
		if all := rows("platform_auditor", "/api/v1/platform/usage?group_by=org"); requests(all) != 5 || len(all) != 2 {
			t.Errorf("the platform's: %v", all)
		}
		a := call(t, s, 200, http.MethodGet, org+"?group_by=model&format=csv", "", as("org_admin")...)
		table, err := csv.NewReader(strings.NewReader(a.Body)).ReadAll()
		if err != nil || len(table) != 3 || !strings.HasPrefix(a.Header.Get("Content-Type"), "text/csv") || strings.Join(table[0][:4], " ") != "start_at end_at model requests" {
			t.Errorf("as a table: %s %s, %v", a.Header.Get("Content-Type"), a.Body, err)
		}
		accepted := call(t, s, 200, http.MethodGet, org+"?group_by=model", "", append(as("org_admin"), "Accept", "text/csv")...)
		if accepted.Body != a.Body {
			t.Errorf("asked for by the header: %s", accepted.Body)
		}
		for _, q := range []string{"?model=%00", "?agent=%00"} {
			if none := rows("org_admin", org+q); len(none) != 0 {
				t.Errorf("%s: %v", q, none)
			}
		}
		for _, q := range []string{"?since=yesterday", "?interval=1w", "?group_by=colour", "?user=ann", "?color=red", "?since=2026-01-01T00:00:00Z&until=2025-01-01T00:00:00Z", "?since=2020-01-01T00:00:00Z&interval=1m", "?format=xml"} {
			if a := call(t, s, 400, http.MethodGet, org+q, "", as("org_admin")...); !strings.Contains(a.Body, `"detail"`) {
				t.Errorf("%s: %s", q, a.Body)
			}
		}
	})
}

func TestATypeOfTheAuditLogChoosesAllThatIsToldUnderIt(t *testing.T) {
	s := kit.Start(t, kit.Options{Config: staff + "storage: {driver: memory}\n"})
	key, _ := newKey(t, s, "org_admin", "/api/v1/me/api-keys", `{"name":"k"}`)
	path := "/api/v1/me/api-keys/" + fmt.Sprint(key["id"])
	call(t, s, 200, http.MethodPatch, path, `{"name":"l"}`, as("org_admin")...)
	call(t, s, 201, http.MethodPost, path+"/rotate", `{}`, as("org_admin")...)
	call(t, s, 200, http.MethodDelete, path, "", as("org_admin")...)
	list := func(query string) (types map[string]int) {
		types = make(map[string]int)
		for _, e := range object(t, call(t, s, 200, http.MethodGet, "/v1/organization/audit_logs"+query, "", as("org_admin")...))["data"].([]any) {
			types[fmt.Sprint(e.(map[string]any)["type"])]++
		}
		return types
	}
	all := list("?limit=100")
	for _, event := range []string{"api_key.created", "api_key.updated", "api_key.rotated", "api_key.deleted"} {
		if some := list("?limit=100&event_types[]=" + event); all[event] == 0 || len(some) != 1 || some[event] != all[event] {
			t.Errorf("%s chooses %v of %v", event, some, all)
		}
	}
}

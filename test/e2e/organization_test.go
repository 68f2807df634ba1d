package e2e

import (
	"fmt"
	"net/http"
	"strings"
	"testing"

	"agentapi/test/kit"
)

// What OpenAI's SDK does not show of /v1/organization; test/contract has the rest.
func TestOpenAIsAdministrationIsAsStrictAsOurs(t *testing.T) {
	staffed(t, func(t *testing.T, s *kit.Server, _ func() *kit.Server) {
		const at = "/v1/organization/"
		me := object(t, call(t, s, 200, http.MethodGet, "/api/v1/me", "", as("org_owner")...))
		evil := object(t, call(t, s, 200, http.MethodGet, "/api/v1/me", "", as("eve")...))
		own, theirs := fmt.Sprint(me["org_id"]), fmt.Sprint(evil["org_id"])
		project := at + "projects/" + strings.Replace(own, "org_", "proj_", 1)
		for _, x := range []struct{ method, path, body, code string }{
			{"GET", at + "users?name=x", "", "unknown_parameter"}, {"GET", at + "users?limit=0", "", "out_of_range"}, {"GET", at + "users?limit=a", "", "invalid_type"},
			{"GET", at + "users?after=x", "", "invalid_cursor"}, {"GET", at + "admin_api_keys?order=up", "", "invalid_value"}, {"GET", at + "projects?include_archived=1", "", "invalid_type"},
			{"GET", project + "/api_keys?owner_project_access=inactive", "", "unsupported_value"},
			{"POST", at + "invites", `{"email":"a@b","role":"owner","name":"x"}`, "unknown_parameter"}, {"POST", at + "invites", `{"role":"owner"}`, "missing_required_parameter"},
			{"POST", at + "invites", `{"email":"a@b","role":"org_admin"}`, "invalid_value"}, {"POST", at + "invites", `{"email":"a@b","role":"owner","projects":{}}`, "invalid_type"},
			{"POST", at + "invites", `{"email":"a@b","role":"owner","projects":[{"id":"proj_x","role":"owner"}]}`, "invalid_value"}, {"POST", at + "invites", `{"email":"a","role":"owner"}`, "invalid_value"},
			{"POST", at + "admin_api_keys", `{"name":"k","expires_in_seconds":"1"}`, "invalid_type"}, {"POST", at + "admin_api_keys", `{"name":"k","expires_in_seconds":31536001}`, "out_of_range"},
			{"POST", project + "/service_accounts", `{"name":"k","create_service_account_only":"no"}`, "invalid_type"}, {"POST", project + "/service_accounts", `{"name":""}`, "invalid_value"},
		} {
			a := call(t, s, 400, x.method, x.path, x.body, as("org_owner")...)
			if !strings.Contains(a.Body, `"code":"`+x.code+`"`) || strings.Contains(a.Body, `"instance"`) || a.Header.Get("Content-Type") != "application/json" {
				t.Errorf("%s %s: got %s", x.path, x.body, a.Body)
			}
		}
		twice, err := http.NewRequestWithContext(t.Context(), http.MethodGet, s.URL+at+"users", nil)
		if err != nil {
			t.Fatal(err)
		}
		twice.Header = http.Header{"Authorization": {"Bearer token-of-org_owner"}, "Openai-Organization": {own, own}}
		resp, err := http.DefaultClient.Do(twice)
		if err != nil {
			t.Fatal(err)
		}
		if resp.Body.Close(); resp.StatusCode != http.StatusBadRequest {
			t.Errorf("two organisations: %d", resp.StatusCode)
		}

		// A repetition makes nothing again, and shows no credential.
		for path, body := range map[string]string{at + "admin_api_keys": `{"name":"once"}`, project + "/service_accounts": `{"name":"once"}`} {
			first := call(t, s, 200, http.MethodPost, path, body, append(as("org_owner"), "Idempotency-Key", "k")...)
			again := call(t, s, 200, http.MethodPost, path, body, append(as("org_owner"), "Idempotency-Key", "k")...)
			if object(t, first)["id"] != object(t, again)["id"] || !strings.Contains(first.Body, `"value":"aak_`) || strings.Contains(again.Body, "aak_0") && strings.Contains(again.Body, `"value"`) ||
				again.Header.Get("Idempotent-Replayed") != "true" || first.Header.Get("Cache-Control") != "no-store" {
				t.Errorf("%s: got %s and then %s", path, first.Body, again.Body)
			}
		}

		// Nobody makes anybody more than they are, or changes who is.
		owner := fmt.Sprint(me["user_id"])
		call(t, s, 403, http.MethodPost, at+"users/"+owner, `{"role":"reader"}`, as("org_admin")...)
		call(t, s, 403, http.MethodDelete, at+"users/"+owner, "", as("org_admin")...)
		auditor := fmt.Sprint(object(t, call(t, s, 200, http.MethodGet, "/api/v1/me", "", as("org_auditor")...))["user_id"])
		call(t, s, 200, http.MethodPost, at+"users/"+auditor, `{"role":"reader"}`, as("org_admin")...) // is one, and stays what it is
		if m := object(t, call(t, s, 200, http.MethodGet, "/api/v1/me", "", as("org_auditor")...)); m["role"] != "org_auditor" {
			t.Errorf("got %v", m)
		}
		call(t, s, 200, http.MethodPost, at+"users/"+auditor, `{"role":"owner"}`, as("org_admin")...)
		if m := object(t, call(t, s, 200, http.MethodGet, "/api/v1/me", "", as("org_auditor")...)); m["role"] != "org_admin" {
			t.Errorf("an owner is %v", m)
		}

		// The platform's administrators name whose organisation they mean.
		root := append(as("platform_admin"), "OpenAI-Organization", theirs)
		other := at + "projects/" + strings.Replace(theirs, "org_", "proj_", 1)
		bot := object(t, call(t, s, 200, http.MethodPost, other+"/service_accounts", `{"name":"bot"}`, root...))
		key := fmt.Sprint(bot["api_key"].(map[string]any)["value"])
		if m := object(t, call(t, s, 200, http.MethodGet, "/api/v1/me", "", "Authorization", "Bearer "+key)); m["org_id"] != theirs || m["role"] != "service" {
			t.Errorf("the account is %v", m)
		}
		call(t, s, 200, http.MethodDelete, other+"/service_accounts/"+fmt.Sprint(bot["id"]), "", root...)
		call(t, s, 401, http.MethodGet, "/v1/models", "", "Authorization", "Bearer "+key)
		call(t, s, 404, http.MethodGet, other, "", as("platform_admin")...) // it is no project of the caller's own
		call(t, s, 200, http.MethodPatch, "/api/v1/orgs/"+theirs, `{"status":"closed"}`, as("platform_admin")...)
		for query, n := range map[string]int{"": 0, "?include_archived=true": 1} {
			if a := call(t, s, 200, http.MethodGet, at+"projects"+query, "", root...); strings.Count(a.Body, `"status":"archived"`) != n {
				t.Errorf("%q: got %s", query, a.Body)
			}
		}
		if a := call(t, s, 200, http.MethodGet, "/api/v1/orgs/"+own+"/audit", "", as("org_owner")...); strings.Count(a.Body, `"service":"once"`) != 1 {
			t.Errorf("the log has %s", a.Body)
		}
	})
}

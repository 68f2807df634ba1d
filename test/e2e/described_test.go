package e2e

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"agentapi/test/kit"
	"agentapi/test/openapi"
)

// One journey takes every operation that can succeed to its success, so that each
// answer is held to the document at least once.
func TestEveryOperationSucceedsAsItIsDescribed(t *testing.T) {
	s := kit.Start(t, kit.Options{Config: staff + "storage: {driver: memory}\ntelemetry: {metrics: {public: true}}\n"})
	known := map[string]string{"start": fmt.Sprint(time.Now().Add(-time.Hour).Unix()), "since": time.Now().UTC().Add(-time.Hour).Format(time.RFC3339)}
	fill := func(text string) string {
		for name, value := range known {
			text = strings.ReplaceAll(text, "{"+name+"}", value)
		}
		return text
	}
	// take keeps members of an answer by names: "org=org_id" keeps org_id as {org}.
	take := func(a kit.Answer, what string) {
		for pair := range strings.FieldsSeq(what) {
			name, path, _ := strings.Cut(pair, "=")
			var v any
			if err := json.Unmarshal([]byte(a.Body), &v); err != nil {
				t.Fatalf("%s: %v", a.Body, err)
			}
			for key := range strings.SplitSeq(path, ".") {
				if list, is := v.([]any); is {
					v = list[0]
				}
				v = v.(map[string]any)[key]
			}
			known[name] = fmt.Sprint(v)
		}
	}
	const admin, boss = "org_admin", "platform_admin"
	for _, step := range []struct {
		who, request, body string
		take               string
		headers            []string
	}{
		{"", "GET /livez", "", "", nil}, {"", "GET /healthz", "", "", nil}, {"", "GET /readyz?verbose", "", "", nil}, {"", "GET /health", "", "", nil},
		{"", "GET /status", "", "", nil}, {"", "GET /metrics", "", "", nil}, {"", "GET /.well-known/oauth-protected-resource", "", "", nil},
		{"", "GET /openapi.json", "", "", nil}, {"", "GET /openapi.yaml", "", "", nil}, {"", "GET /llms.txt", "", "", nil}, {"", "GET /docs", "", "", nil},
		{"", "GET /docs/start.js", "", "", nil}, {"", "GET /docs/reference.js", "", "", []string{"Accept-Encoding", "gzip"}},

		{admin, "POST /v1/chat/completions", kit.AskStream("demo/tools", "hello"), "", nil},
		{admin, "POST /v1/chat/completions", `{"model":"demo/echo","messages":[{"role":"user","content":"hello"}],"stream":true,"stream_options":{"include_usage":true}}`, "", nil},
		{admin, "POST /v1/chat/completions", kit.Ask("demo/echo", "hello"), "", []string{"X-Session-Id", "mine", "Idempotency-Key", "k"}},
		{admin, "GET /v1/models", "", "", nil}, {admin, "GET /v1/models/demo/echo", "", "", nil},

		{admin, "GET /api/v1/sessions?limit=1", "", "chat=data.id", nil},
		{admin, "POST /api/v1/sessions", `{"title":"a plan","metadata":{"a":"b"}}`, "session=id", nil},
		{admin, "GET /api/v1/sessions/{session}", "", "", nil},
		{admin, "PATCH /api/v1/sessions/{session}", `{"archived":true}`, "", nil},
		{admin, "DELETE /api/v1/sessions/{session}", "", "", nil},
		{admin, "GET /api/v1/sessions/{chat}/messages", "", "", nil}, {admin, "GET /api/v1/sessions/{chat}/export", "", "", nil},

		{admin, "GET /api/v1/me", "", "org=org_id me=user_id", nil},
		{admin, "GET /api/v1/me/usage?since={since}&group_by=model,key", "", "", nil}, {admin, "GET /api/v1/me/usage?since={since}&format=csv", "", "", nil},
		{admin, "POST /api/v1/me/api-keys", `{"name":"laptop","models":["demo/*"],"networks":["127.0.0.1"]}`, "key=id", nil},
		{admin, "GET /api/v1/me/api-keys", "", "", nil}, {admin, "GET /api/v1/me/api-keys/{key}", "", "", nil},
		{admin, "PATCH /api/v1/me/api-keys/{key}", `{"name":"desk"}`, "", nil}, {admin, "POST /api/v1/me/api-keys/{key}/rotate", "", "next=id", nil},
		{admin, "DELETE /api/v1/me/api-keys/{next}", "", "", nil},

		{"victim", "GET /api/v1/me", "", "user=user_id", nil},
		{admin, "GET /api/v1/orgs/{org}", "", "", nil}, {admin, "PATCH /api/v1/orgs/{org}", `{"name":"Acme"}`, "", nil},
		{admin, "GET /api/v1/orgs/{org}/members?status=active", "", "", nil}, {admin, "GET /api/v1/orgs/{org}/members/{user}", "", "", nil},
		{admin, "PATCH /api/v1/orgs/{org}/members/{user}", `{"role":"org_auditor"}`, "", nil},
		{admin, "POST /api/v1/orgs/{org}/members", `{"issuer":"dev","subject":"new","email":"new@example.com"}`, "other=id", nil},
		{admin, "DELETE /api/v1/orgs/{org}/members/{other}", "", "", nil},
		{admin, "POST /api/v1/orgs/{org}/invites", `{"email":"ann@example.com","role":"org_member"}`, "invite=id", nil},
		{admin, "GET /api/v1/orgs/{org}/invites?status=pending", "", "", nil}, {admin, "GET /api/v1/orgs/{org}/invites/{invite}", "", "", nil},
		{admin, "DELETE /api/v1/orgs/{org}/invites/{invite}", "", "", nil},
		{admin, "POST /api/v1/orgs/{org}/api-keys", `{"name":"ci","service":"builds"}`, "key=id", nil},
		{admin, "GET /api/v1/orgs/{org}/api-keys", "", "", nil}, {admin, "GET /api/v1/orgs/{org}/api-keys/{key}", "", "", nil},
		{admin, "PATCH /api/v1/orgs/{org}/api-keys/{key}", `{"expires_at":"2099-01-01T00:00:00Z"}`, "", nil},
		{admin, "POST /api/v1/orgs/{org}/api-keys/{key}/rotate", `{"grace_seconds":60}`, "next=id", nil},
		{admin, "DELETE /api/v1/orgs/{org}/api-keys/{next}", "", "", nil},
		{admin, "GET /api/v1/orgs/{org}/models", "", "", nil}, {admin, "GET /api/v1/orgs/{org}/sessions?user={me}", "", "", nil},
		{admin, "GET /api/v1/orgs/{org}/sessions/{chat}", "", "", nil}, {admin, "DELETE /api/v1/orgs/{org}/sessions/{chat}", "", "", nil},
		{admin, "GET /api/v1/orgs/{org}/usage?since={since}&interval=1h&group_by=user,agent", "", "", nil}, {admin, "GET /api/v1/orgs/{org}/audit?limit=100", "", "", nil},

		{admin, "POST /api/v1/orgs/{org}/budgets", `{"period":"day","limit_micro":1000000}`, "budget=id", nil}, {admin, "GET /api/v1/orgs/{org}/budgets", "", "", nil},
		{admin, "GET /api/v1/orgs/{org}/budgets/{budget}", "", "", nil}, {admin, "PATCH /api/v1/orgs/{org}/budgets/{budget}", `{"limit_micro":2000000}`, "", nil},
		{admin, "DELETE /api/v1/orgs/{org}/budgets/{budget}", "", "", nil}, {admin, "GET /v1/organization/costs?start_time={start}", "", "", nil},
		{admin, "GET /api/v1/orgs/{org}/allowed-models", "", "", nil}, {boss, "PATCH /api/v1/orgs/{org}/allowed-models", `{"models":null}`, "", nil},
		{admin, "GET /api/v1/orgs/{org}/limits", "", "", nil}, {boss, "PATCH /api/v1/orgs/{org}/limits", `{"requests_per_minute":6000,"processes":0}`, "", nil},
		{admin, "GET /api/v1/orgs/{org}/members/{user}/limits", "", "", nil}, {admin, "PATCH /api/v1/orgs/{org}/members/{user}/limits", `{"requests_per_minute":600}`, "", nil},
		{admin, "GET /api/v1/orgs/{org}/api-keys/{key}/limits", "", "", nil}, {admin, "PATCH /api/v1/orgs/{org}/api-keys/{key}/limits", `{"concurrent":10}`, "", nil},
		{admin, "GET /api/v1/orgs/{org}/retention", "", "", nil}, {admin, "PATCH /api/v1/orgs/{org}/retention", `{"sessions_seconds":86400}`, "", nil}, {admin, "GET /api/v1/orgs/{org}/audit/export", "", "", nil},
		{boss, "GET /api/v1/platform/audit/checkpoints?limit=1", "", "", nil}, {boss, "GET /api/v1/platform/audit/verify", "", "", nil},
		{boss, "POST /api/v1/platform/audit/verify", `{"after":0,"most":100}`, "", nil}, {boss, "GET /api/v1/platform/audit/export", "", "", nil},

		{"org_owner", "GET /scim/v2/ServiceProviderConfig", "", "", nil}, {"org_owner", "GET /scim/v2/ResourceTypes", "", "", nil}, {"org_owner", "GET /scim/v2/ResourceTypes/User", "", "", nil},
		{"org_owner", "GET /scim/v2/Schemas", "", "", nil}, {"org_owner", "GET /scim/v2/Schemas/urn:ietf:params:scim:schemas:core:2.0:User", "", "", nil},
		{"org_owner", "POST /scim/v2/Users", `{"schemas":["urn:ietf:params:scim:schemas:core:2.0:User"],"userName":"eva","externalId":"eva","active":true,"emails":[{"value":"eva@example.com","primary":true}]}`, "person=id", nil},
		{"org_owner", "GET /scim/v2/Users?filter=userName+eq+%22eva%22", "", "", nil}, {"org_owner", "GET /scim/v2/Users/{person}", "", "", nil},
		{"org_owner", "PUT /scim/v2/Users/{person}", `{"schemas":["urn:ietf:params:scim:schemas:core:2.0:User"],"userName":"eva","externalId":"eva","active":true}`, "", nil},
		{"org_owner", "PATCH /scim/v2/Users/{person}", `{"schemas":["urn:ietf:params:scim:api:messages:2.0:PatchOp"],"Operations":[{"op":"replace","value":{"active":false}}]}`, "", nil},
		{"org_owner", "POST /scim/v2/Groups", `{"schemas":["urn:ietf:params:scim:schemas:core:2.0:Group"],"displayName":"Builders","members":[{"value":"{person}"}]}`, "group=id", nil},
		{"org_owner", "GET /scim/v2/Groups", "", "", nil}, {"org_owner", "GET /scim/v2/Groups/{group}", "", "", nil},
		{"org_owner", "PUT /scim/v2/Groups/{group}", `{"schemas":["urn:ietf:params:scim:schemas:core:2.0:Group"],"displayName":"Makers"}`, "", nil},
		{"org_owner", "PATCH /scim/v2/Groups/{group}", `{"schemas":["urn:ietf:params:scim:api:messages:2.0:PatchOp"],"Operations":[{"op":"add","path":"members","value":[{"value":"{person}"}]}]}`, "", nil},
		{"org_owner", "DELETE /scim/v2/Groups/{group}", "", "", nil}, {"org_owner", "DELETE /scim/v2/Users/{person}", "", "", nil},

		{boss, "GET /api/v1/platform/usage?since={since}&group_by=org", "", "", nil}, {boss, "GET /api/v1/platform/audit?since={since}&limit=100", "", "", nil},
		{boss, "GET /api/v1/platform/orgs?q=A", "", "", nil}, {boss, "POST /api/v1/platform/orgs", `{"issuer":"dev","external_id":"next","name":"Next"}`, "", nil},
		{boss, "GET /api/v1/platform/users?status=active", "", "", nil}, {boss, "PATCH /api/v1/platform/users/{user}", `{"status":"active"}`, "", nil},
		{boss, "GET /api/v1/platform/admins", "", "", nil}, {boss, "POST /api/v1/platform/admins", `{"issuer":"dev","subject":"deputy","role":"platform_auditor"}`, "deputy=id", nil},
		{boss, "DELETE /api/v1/platform/admins/{deputy}", "", "", nil}, {boss, "GET /api/v1/platform/roles", "", "", nil},
		{boss, "GET /api/v1/platform/agents", "", "", nil}, {boss, "GET /api/v1/platform/agents/demo", "", "", nil},
		{boss, "POST /api/v1/platform/agents/demo/drain", "{}", "", nil}, {boss, "POST /api/v1/platform/agents/demo/resume", "{}", "", nil},
		{boss, "POST /api/v1/platform/agents/demo/reset", "{}", "", nil}, {boss, "GET /api/v1/platform/agents/demo/health?limit=1", "", "", nil},
		{boss, "PATCH /api/v1/platform/agents/demo", `{"enabled":true}`, "", nil}, {boss, "POST /api/v1/platform/agents/demo/test", `{"model":"echo"}`, "", nil},
		{boss, "GET /api/v1/platform/models", "", "", nil}, {boss, "GET /api/v1/platform/aliases", "", "", nil},
		{boss, "GET /api/v1/platform/stats", "", "", nil}, {boss, "GET /api/v1/platform/config", "", "", nil}, {boss, "POST /api/v1/platform/config/reload", "{}", "", nil},

		{admin, "GET /v1/organization/users?emails[]=x@example.com", "", "", nil}, {admin, "GET /v1/organization/users/{user}", "", "", nil},
		{admin, "POST /v1/organization/users/{user}", `{"role":"reader"}`, "", nil},
		{admin, "POST /v1/organization/invites", `{"email":"bob@example.com","role":"reader"}`, "invite=id project=projects.id", nil},
		{admin, "GET /v1/organization/invites", "", "", nil}, {admin, "GET /v1/organization/invites/{invite}", "", "", nil}, {admin, "DELETE /v1/organization/invites/{invite}", "", "", nil},
		{admin, "GET /v1/organization/projects", "", "", nil}, {admin, "GET /v1/organization/projects/{project}", "", "", nil}, {admin, "GET /v1/organization/projects/{project}/users", "", "", nil},
		{admin, "POST /v1/organization/projects/{project}/service_accounts", `{"name":"bot"}`, "bot=id key=api_key.id", nil},
		{admin, "GET /v1/organization/projects/{project}/service_accounts", "", "", nil}, {admin, "GET /v1/organization/projects/{project}/service_accounts/{bot}", "", "", nil},
		{admin, "GET /v1/organization/projects/{project}/api_keys", "", "", nil}, {admin, "GET /v1/organization/projects/{project}/api_keys/{key}", "", "", nil},
		{admin, "DELETE /v1/organization/projects/{project}/api_keys/{key}", "", "", nil}, {admin, "DELETE /v1/organization/projects/{project}/service_accounts/{bot}", "", "", nil},
		{admin, "POST /v1/organization/admin_api_keys", `{"name":"terraform","expires_in_seconds":60}`, "key=id", nil},
		{admin, "GET /v1/organization/admin_api_keys", "", "", nil}, {admin, "GET /v1/organization/admin_api_keys/{key}", "", "", nil}, {admin, "DELETE /v1/organization/admin_api_keys/{key}", "", "", nil},
		{admin, "GET /v1/organization/audit_logs?effective_at[gte]={start}&limit=100", "", "", nil},
		{admin, "GET /v1/organization/usage/completions?start_time={start}&group_by[]=model&group_by[]=user_id", "", "", nil},
		{admin, "GET /v1/organization/usage/audio_speeches?start_time={start}", "", "", nil}, {admin, "GET /v1/organization/usage/audio_transcriptions?start_time={start}", "", "", nil},
		{admin, "GET /v1/organization/usage/code_interpreter_sessions?start_time={start}", "", "", nil}, {admin, "GET /v1/organization/usage/embeddings?start_time={start}", "", "", nil},
		{admin, "GET /v1/organization/usage/file_search_calls?start_time={start}", "", "", nil}, {admin, "GET /v1/organization/usage/images?start_time={start}", "", "", nil},
		{admin, "GET /v1/organization/usage/moderations?start_time={start}", "", "", nil}, {admin, "GET /v1/organization/usage/vector_stores?start_time={start}", "", "", nil},
		{admin, "GET /v1/organization/usage/web_search_calls?start_time={start}", "", "", nil}, {admin, "DELETE /v1/organization/users/{user}", "", "", nil},
	} {
		method, path, _ := strings.Cut(fill(step.request), " ")
		headers := append([]string{"Authorization", ""}, step.headers...)
		if step.who != "" {
			headers = append(as(step.who), step.headers...)
		}
		a, err := s.Do(t.Context(), method, path, fill(step.body), headers...)
		if err != nil || a.Status >= 300 {
			t.Fatalf("%s as %q: %d %s, %v", fill(step.request), step.who, a.Status, a.Body, err)
		}
		take(a, step.take)
	}
	runAndEnd(t, s)
	exportAndErase(t, s, known["org"])
	if left := s.Client().Transport.(*openapi.Watcher).Undone(); len(left) > 0 {
		t.Errorf("these have not succeeded: add them to the journey: %v", left)
	}
}

// runAndEnd lists a request while it runs, and ends it.
func runAndEnd(t *testing.T, s *kit.Server) {
	t.Helper()
	resp, err := s.Open(t.Context(), http.MethodPost, "/v1/chat/completions", kit.AskStream("demo/slow", strings.Repeat("word ", 500)), as("org_admin")...)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	running := object(t, call(t, s, 200, http.MethodGet, "/api/v1/platform/sessions", "", as("platform_admin")...))
	list := running["data"].([]any)
	if len(list) != 1 {
		t.Fatalf("%v run", list)
	}
	call(t, s, 200, http.MethodGet, "/api/v1/platform/requests/"+fmt.Sprint(list[0].(map[string]any)["id"])+"/explain", "", as("platform_auditor")...)
	call(t, s, 200, http.MethodDelete, "/api/v1/platform/sessions/"+fmt.Sprint(list[0].(map[string]any)["id"]), "", as("platform_admin")...)
}

// exportAndErase has a user's data exported, takes it, and has the user erased.
func exportAndErase(t *testing.T, s *kit.Server, org string) {
	t.Helper()
	user := object(t, call(t, s, 200, http.MethodGet, "/api/v1/me", "", as("victim")...))["user_id"]
	base := fmt.Sprintf("/api/v1/orgs/%s/users/%v", org, user)
	job := call(t, s, 202, http.MethodPost, base+"/export", "{}", as("org_admin")...).Header.Get("Location")
	finished(t, s, job, 20*time.Second)
	call(t, s, 200, http.MethodGet, job+"/result", "", as("org_admin")...)
	finished(t, s, call(t, s, 202, http.MethodDelete, base+"?mode=erase", "", as("org_admin")...).Header.Get("Location"), 20*time.Second)
	evil := fmt.Sprint(object(t, call(t, s, 200, http.MethodGet, "/api/v1/me", "", as("eve")...))["org_id"])
	call(t, s, 202, http.MethodDelete, "/api/v1/platform/orgs/"+evil+"?confirm=evil", "", as("platform_admin")...)
	call(t, s, 200, http.MethodGet, "/api/v1/orgs/"+org+"/jobs", "", as("org_admin")...)
}

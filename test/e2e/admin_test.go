package e2e

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	web "agentapi/adapters/http"
	"agentapi/domain/tenancy"
	"agentapi/test/kit"
	"agentapi/test/postgres"
)

// staff is a token for each role in the organisation acme, and one of another's.
var staff = func() string {
	var b strings.Builder
	b.WriteString("identity:\n  dev:\n    tokens:\n")
	for _, r := range tenancy.Roles() {
		fmt.Fprintf(&b, "    - {token: token-of-%s, org: acme, user: %s, role: %s}\n", r, r, r)
	}
	b.WriteString("    - {token: token-of-victim, org: acme, user: victim}\n    - {token: token-of-eve, org: evil, user: eve, role: org_owner}\n")
	return b.String()
}()

func as(who string) []string { return []string{"Authorization", "Bearer token-of-" + who} }

// object is an answer that is one.
func object(t *testing.T, a kit.Answer) map[string]any {
	t.Helper()
	var out map[string]any
	if err := json.Unmarshal([]byte(a.Body), &out); err != nil {
		t.Fatalf("%s: %v", a.Body, err)
	}
	return out
}

// staffed runs a test on a server of each storage that knows the staff.
func staffed(t *testing.T, test func(t *testing.T, s *kit.Server, again func() *kit.Server)) {
	configured(t, staff, test)
}

// configured is staffed with a configuration of its own.
func configured(t *testing.T, config string, test func(t *testing.T, s *kit.Server, again func() *kit.Server)) {
	start := func(t *testing.T, o kit.Options) {
		s := kit.Start(t, o)
		test(t, s, func() *kit.Server {
			if _, err := s.Stop(10 * time.Second); err != nil {
				t.Fatal(err)
			}
			return kit.Start(t, o)
		})
	}
	t.Run("in memory", func(t *testing.T) { start(t, kit.Options{Config: config + "storage: {driver: memory}\n"}) })
	t.Run("in SQLite", func(t *testing.T) { start(t, kit.Options{Config: config, Dir: t.TempDir()}) })
	t.Run("in Postgres", func(t *testing.T) {
		_, env := migrated(t, postgres.Shared(t))
		start(t, kit.Options{Config: config, Env: env, Dir: t.TempDir()})
	})
}

// Whatever way in there is: each role gets in where its permissions say, and
// nowhere else.
func TestEveryRouteIsForTheRolesThatMay(t *testing.T) {
	staffed(t, func(t *testing.T, s *kit.Server, _ func() *kit.Server) {
		me := object(t, call(t, s, 200, http.MethodGet, "/api/v1/me", "", as("victim")...))
		names := strings.NewReplacer(":org", fmt.Sprint(me["org_id"]), ":user", fmt.Sprint(me["user_id"]), ":id", "sess_01kdy7585ee0080000000000ke",
			":key", "key_01kdy7585ee0080000000000ke", ":budget", "budget_01kdy7585ee0080000000000ke", ":invite", "inv_01kdy7585ee0080000000000ke",
			":account", "user_01kdy7585ee0080000000000ke", ":project", strings.Replace(fmt.Sprint(me["org_id"]), "org_", "proj_", 1), ":agent", "demo", ":job", "job_01kdy7585ee0080000000000ke", ":request", "req_0", "*", "demo/echo")
		tried := 0
		for _, route := range web.Surface() {
			path := names.Replace(route.Path)
			send := func(headers ...string) kit.Answer {
				body := ""
				if route.Method == http.MethodPost || route.Method == http.MethodPatch {
					body, headers = "{}", append(headers, "Content-Type", "application/json")
				}
				a, err := s.Do(t.Context(), route.Method, path, body, headers...)
				if err != nil {
					t.Fatal(err)
				}
				return a
			}
			if a := send("Authorization", ""); (a.Status == http.StatusUnauthorized) != (route.May != "") {
				t.Errorf("%s %s by nobody: %d", route.Method, path, a.Status)
			}
			for _, role := range tenancy.Roles() {
				a := send(as(string(role))...)
				refused := a.Status == http.StatusForbidden && strings.Contains(a.Body, string(route.May))
				if want := route.May == "" || role.Can(route.May); refused == want || a.Status == http.StatusUnauthorized || a.Status >= 500 {
					t.Errorf("%s %s by %s: %d %s", route.Method, path, role, a.Status, a.Body)
				}
				tried++
			}
			// Another organisation's is not there, whoever asks from outside; who may do
			// nothing to the platform learns as little of any organisation.
			if strings.Contains(route.Path, ":org") && !strings.HasPrefix(route.Path, "/api/v1/platform/") {
				if a := send(as("eve")...); a.Status != http.StatusNotFound || !strings.Contains(a.Body, "org_not_found") {
					t.Errorf("%s %s from another organisation: %d %s", route.Method, path, a.Status, a.Body)
				}
			}
		}
		t.Logf("%d routes with %d roles: %d requests", len(web.Surface()), len(tenancy.Roles()), tried)
	})
}

// newKey makes a key and gives its object and credential.
func newKey(t *testing.T, s *kit.Server, who, path, body string) (made map[string]any, credential string) {
	t.Helper()
	a := call(t, s, 201, http.MethodPost, path, body, as(who)...)
	made = object(t, a)
	return made, fmt.Sprint(made["key"])
}

func TestAKeysLifeOnEveryStorage(t *testing.T) {
	staffed(t, func(t *testing.T, s *kit.Server, again func() *kit.Server) {
		use := func(credential, model string) kit.Answer {
			return s.Chat(t, kit.Ask(model, "hello"), "Authorization", "Bearer "+credential)
		}
		key, credential := newKey(t, s, "org_member", "/api/v1/me/api-keys", `{"name":"laptop","models":["demo/echo","other*"]}`)
		path := "/api/v1/me/api-keys/" + fmt.Sprint(key["id"])
		if a := use(credential, "demo/echo"); a.Status != 200 || !strings.Contains(a.Body, "hello") {
			t.Fatalf("%d %s", a.Status, a.Body)
		}
		if a := use(credential, "demo/story"); a.Status != 403 || !strings.Contains(a.Body, "insufficient_permissions") {
			t.Errorf("a model that the key is not for: %d %s", a.Status, a.Body)
		}
		if a, err := s.Do(t.Context(), http.MethodGet, "/v1/models", "", "Authorization", "Bearer "+credential); err != nil || !strings.Contains(a.Body, "demo/echo") || strings.Contains(a.Body, "demo/story") {
			t.Errorf("the models of the key: %s, %v", a.Body, err)
		}
		if m := object(t, call(t, s, 200, http.MethodGet, "/api/v1/me", "", "Authorization", "Bearer "+credential)); m["api_key_id"] != key["id"] || m["role"] != "org_member" {
			t.Errorf("the key says it is %v", m)
		}
		shown := call(t, s, 200, http.MethodGet, path, "", as("org_member")...)
		if m := object(t, shown); m["key"] != nil || m["last_used_at"] == nil || m["hint"] != key["hint"] || strings.Contains(s.Logs.String(), credential) {
			t.Errorf("the key shows as %s", shown.Body)
		}
		call(t, s, 404, http.MethodGet, path, "", as("org_owner")...) // it is not the owner's own
		call(t, s, 412, http.MethodPatch, path, `{"name":"x"}`, append(as("org_member"), "If-Match", `"7"`)...)
		call(t, s, 200, http.MethodPatch, path, `{"name":"desk","models":null}`, append(as("org_member"), "If-Match", shown.Header.Get("ETag"))...)
		if a := use(credential, "demo/story"); a.Status != 200 {
			t.Errorf("a change has no effect: %d %s", a.Status, a.Body)
		}

		// A repetition makes no second key, and shows no credential.
		for i, want := range []bool{true, false} {
			a := call(t, s, 201, http.MethodPost, "/api/v1/me/api-keys", `{"name":"once"}`, append(as("org_member"), "Idempotency-Key", "k")...)
			if m := object(t, a); (m["key"] != nil) != want {
				t.Errorf("%d. request: %s", i+1, a.Body)
			}
		}
		if a := call(t, s, 200, http.MethodGet, "/api/v1/me/api-keys", "", as("org_member")...); strings.Count(a.Body, `"object":"api_key"`) != 2 {
			t.Errorf("got %s", a.Body)
		}

		// Rotated, both are good for the time of grace; without any, the old one is not.
		next := object(t, call(t, s, 201, http.MethodPost, path+"/rotate", `{}`, as("org_member")...))
		for name, c := range map[string]string{"old": credential, "new": fmt.Sprint(next["key"])} {
			if a := use(c, "demo/echo"); a.Status != 200 {
				t.Errorf("the %s key: %d %s", name, a.Status, a.Body)
			}
		}
		last := object(t, call(t, s, 201, http.MethodPost, "/api/v1/me/api-keys/"+fmt.Sprint(next["id"])+"/rotate", `{"grace_seconds":0}`, as("org_member")...))
		if a := use(fmt.Sprint(next["key"]), "demo/echo"); a.Status != 401 || !strings.Contains(a.Body, "invalid_api_key") {
			t.Errorf("the key that was replaced: %d %s", a.Status, a.Body)
		}

		// A service account's, by an administrator, for a network that nobody here is in.
		org := fmt.Sprint(key["org_id"])
		keys := "/api/v1/orgs/" + org + "/api-keys"
		_, far := newKey(t, s, "org_admin", keys, `{"name":"ci","service":"builds","networks":["192.0.2.0/24"]}`)
		if a := use(far, "demo/echo"); a.Status != 403 || !strings.Contains(a.Body, "address") {
			t.Errorf("from elsewhere: %d %s", a.Status, a.Body)
		}
		bot, near := newKey(t, s, "org_admin", keys, `{"name":"ci","service":"builds","networks":["127.0.0.1"]}`)
		if m := object(t, call(t, s, 200, http.MethodGet, "/api/v1/me", "", "Authorization", "Bearer "+near)); m["role"] != "service" || m["name"] != "builds" || m["user_id"] != bot["user_id"] {
			t.Errorf("a service account is %v", m)
		}
		call(t, s, 403, http.MethodGet, "/api/v1/me/api-keys", "", "Authorization", "Bearer "+near)
		call(t, s, 403, http.MethodPost, "/api/v1/me/api-keys", `{"name":"more","role":"org_admin"}`, as("org_member")...)

		if s = again(); strings.HasSuffix(t.Name(), "in_memory") {
			return
		}
		final := fmt.Sprint(last["key"])
		if a := use(final, "demo/echo"); a.Status != 200 {
			t.Errorf("after a restart: %d %s", a.Status, a.Body)
		}
		call(t, s, 200, http.MethodDelete, keys+"/"+fmt.Sprint(last["id"]), "", as("org_admin")...)
		if a := use(final, "demo/echo"); a.Status != 401 {
			t.Errorf("revoked: %d %s", a.Status, a.Body)
		}
	})
}

func TestBadKeysAreRefusedWithAReason(t *testing.T) {
	s := kit.Start(t, kit.Options{Config: staff + "storage: {driver: memory}\n"})
	for body, code := range map[string]string{
		`{}`:                         "invalid_value",
		`{"name":""}`:                "invalid_value",
		`{"name":1}`:                 "invalid_type",
		`{"name":"k","role":"root"}`: "invalid_value",
		`{"name":"k","expires_at":"2000-01-01T00:00:00Z"}`: "invalid_value",
		`{"name":"k","expires_at":"tomorrow"}`:             "invalid_type",
		`{"name":"k","models":"gpt"}`:                      "invalid_type",
		`{"name":"k","models":["a*b"]}`:                    "invalid_value",
		`{"name":"k","networks":["here"]}`:                 "invalid_value",
		`{"name":"k","networks":[7]}`:                      "invalid_type",
		`{"name":"k","service":"x"}`:                       "unknown_parameter",
		`{"name":"k","name":"l"}`:                          "duplicate_key",
		`[]`:                                               "invalid_request",
	} {
		a := call(t, s, 400, http.MethodPost, "/api/v1/me/api-keys", body, as("org_member")...)
		if !strings.Contains(a.Body, `"code":"`+code+`"`) || a.Header.Get("Content-Type") != "application/problem+json" {
			t.Errorf("%s: got %s", body, a.Body)
		}
	}
	for _, bearer := range []string{"aak_", "aak_x_y", "aak_01kdy7585ee0080000000000ke_" + strings.Repeat("x", 38), "aak_" + strings.Repeat("z", 60000/60)} {
		a, err := s.Do(t.Context(), http.MethodGet, "/v1/models", "", "Authorization", "Bearer "+bearer)
		if err != nil || a.Status != 401 || !strings.Contains(a.Body, "invalid_api_key") {
			t.Errorf("%.20s: %d %s, %v", bearer, a.Status, a.Body, err)
		}
	}
}

func TestWhoIsShutOutIsOutAtOnce(t *testing.T) {
	staffed(t, func(t *testing.T, s *kit.Server, _ func() *kit.Server) {
		me := object(t, call(t, s, 200, http.MethodGet, "/api/v1/me", "", as("victim")...))
		_, credential := newKey(t, s, "victim", "/api/v1/me/api-keys", `{"name":"k"}`)
		org, user := "/api/v1/orgs/"+fmt.Sprint(me["org_id"]), fmt.Sprint(me["user_id"])
		out := func(status int, code string) {
			t.Helper()
			for _, headers := range [][]string{as("victim"), {"Authorization", "Bearer " + credential}} {
				if a := call(t, s, status, http.MethodGet, "/v1/models", "", headers...); code != "" && !strings.Contains(a.Body, code) {
					t.Errorf("got %s", a.Body)
				}
			}
		}
		out(200, "")
		call(t, s, 200, http.MethodPatch, org+"/members/"+user, `{"status":"suspended"}`, as("org_admin")...)
		out(403, "account_suspended")
		call(t, s, 200, http.MethodPatch, org+"/members/"+user, `{"status":"active"}`, as("org_admin")...)
		out(200, "")
		call(t, s, 200, http.MethodPatch, "/api/v1/platform/users/"+user, `{"status":"suspended"}`, as("platform_admin")...)
		out(403, "account_suspended")
		call(t, s, 200, http.MethodPatch, "/api/v1/platform/users/"+user, `{"status":"active"}`, as("platform_admin")...)

		// A role that is given here counts more than the token's, until it is taken back.
		role := func(want string) {
			t.Helper()
			if m := object(t, call(t, s, 200, http.MethodGet, "/api/v1/me", "", as("victim")...)); m["role"] != want {
				t.Errorf("the role is %v, not %s", m["role"], want)
			}
		}
		call(t, s, 200, http.MethodPatch, org+"/members/"+user, `{"role":"org_auditor"}`, as("org_admin")...)
		role("org_auditor")
		call(t, s, 403, http.MethodPatch, org+"/members/"+user, `{"role":"org_owner"}`, as("org_admin")...)
		call(t, s, 200, http.MethodPatch, org+"/members/"+user, `{"role":null}`, as("org_admin")...)
		role("org_member")

		// An organisation of its own, so that the staff stays in.
		evil := object(t, call(t, s, 200, http.MethodGet, "/api/v1/me", "", as("eve")...))
		theirs := "/api/v1/orgs/" + fmt.Sprint(evil["org_id"])
		call(t, s, 403, http.MethodPatch, theirs, `{"status":"suspended"}`, as("eve")...)
		call(t, s, 200, http.MethodPatch, theirs, `{"status":"suspended"}`, as("platform_admin")...)
		if a := call(t, s, 403, http.MethodGet, "/v1/models", "", as("eve")...); !strings.Contains(a.Body, "org_suspended") {
			t.Errorf("got %s", a.Body)
		}
		call(t, s, 200, http.MethodDelete, org+"/members/"+user, "", as("org_admin")...)
		call(t, s, 401, http.MethodGet, "/v1/models", "", "Authorization", "Bearer "+credential)
	})
}

// What administrators do is in the log, for their organisation and the platform,
// without names and secrets.
func TestWhatAdministratorsDoIsRecorded(t *testing.T) {
	staffed(t, func(t *testing.T, s *kit.Server, _ func() *kit.Server) {
		me := object(t, call(t, s, 200, http.MethodGet, "/api/v1/me", "", as("victim")...))
		call(t, s, 200, http.MethodGet, "/api/v1/me", "", as("eve")...)
		org, user := "/api/v1/orgs/"+fmt.Sprint(me["org_id"]), fmt.Sprint(me["user_id"])
		key, credential := newKey(t, s, "victim", "/api/v1/me/api-keys", `{"name":"k"}`)
		call(t, s, 200, http.MethodPatch, org+"/members/"+user, `{"role":"org_auditor"}`, as("org_admin")...)
		call(t, s, 403, http.MethodPatch, org+"/members/"+user, `{"role":"org_owner"}`, as("org_admin")...) // nothing has happened
		newKey(t, s, "eve", "/api/v1/me/api-keys", `{"name":"k"}`)
		for range 3 {
			if a, err := s.Do(t.Context(), http.MethodGet, "/v1/models", "", "Authorization", "Bearer wrong-secret"); err != nil || a.Status != 401 {
				t.Fatal(a.Status, err)
			}
		}
		own := call(t, s, 200, http.MethodGet, org+"/audit", "", as("org_auditor")...)
		for text, n := range map[string]int{
			`"action":"api_key.created"`: 1, `"action":"member.changed"`: 1, fmt.Sprint(key["id"]): 1, "auth.failed": 0, "evil": 0, user: 0, credential: 0, "victim": 0,
		} {
			if strings.Count(own.Body, text) != n {
				t.Errorf("%s is %d times in %s", text, strings.Count(own.Body, text), own.Body)
			}
		}
		all := call(t, s, 200, http.MethodGet, "/api/v1/platform/audit?action=auth.failed", "", as("platform_auditor")...)
		if n := strings.Count(all.Body, `"action":"auth.failed"`); n < 1 || n > 2 || strings.Contains(all.Body, "wrong-secret") { // a minute may have ended
			t.Errorf("of three bad credentials are recorded %s", all.Body)
		}
		if a := call(t, s, 200, http.MethodGet, "/api/v1/platform/audit?action=api_key.created&limit=1", "", as("platform_auditor")...); strings.Count(a.Body, `"object":"audit_entry"`) != 1 || !strings.Contains(a.Body, `"has_more":true`) {
			t.Errorf("got %s", a.Body)
		}
	})
}

// Who lacks a permission is recorded once a minute, and what a platform role reads
// in another organisation each time, where that organisation sees it.
func TestWhatMayNotBeDoneAndWhatOthersReadIsRecorded(t *testing.T) {
	staffed(t, func(t *testing.T, s *kit.Server, _ func() *kit.Server) {
		evil := fmt.Sprint(object(t, call(t, s, 200, http.MethodGet, "/api/v1/me", "", as("eve")...))["org_id"])
		own := fmt.Sprint(object(t, call(t, s, 200, http.MethodGet, "/api/v1/me", "", as("victim")...))["org_id"])
		for range 3 {
			call(t, s, 403, http.MethodGet, "/api/v1/orgs/"+own+"/members", "", as("victim")...)
			call(t, s, 200, http.MethodGet, "/api/v1/orgs/"+evil+"/members", "", as("platform_auditor")...)
			call(t, s, 200, http.MethodGet, "/api/v1/orgs/"+own+"/members", "", as("platform_auditor")...)
		}
		call(t, s, 403, http.MethodGet, "/api/v1/orgs/"+own+"/api-keys", "", as("victim")...)
		call(t, s, 404, http.MethodGet, "/api/v1/orgs/org_01kdy7585ee0080000000000ke", "", as("platform_auditor")...)
		denied := call(t, s, 200, http.MethodGet, "/api/v1/orgs/"+own+"/audit?action=access.denied", "", as("org_auditor")...)
		if n := strings.Count(denied.Body, `"permission":"members:read"`); n < 1 || n > 2 { // a minute may have ended
			t.Errorf("of three refusals are recorded %s", denied.Body)
		}
		if strings.Count(denied.Body, `"permission":"keys:read"`) != 1 || strings.Contains(denied.Body, "127.0.0.1") {
			t.Errorf("got %s", denied.Body)
		}
		seen := call(t, s, 200, http.MethodGet, "/api/v1/orgs/"+evil+"/audit?action=org.read", "", as("eve")...)
		if strings.Count(seen.Body, `"target":"/api/v1/orgs/:org/members"`) != 3 || strings.Contains(seen.Body, "platform_auditor\",\"actor") {
			t.Errorf("of three reads are recorded %s", seen.Body)
		}
		if a := call(t, s, 200, http.MethodGet, "/api/v1/platform/audit?action=org.read", "", as("platform_admin")...); strings.Count(a.Body, `"object":"audit_entry"`) != 3 {
			t.Errorf("got %s", a.Body)
		}
		// In OpenAI's words a header names the organisation; and a list's head tells who is on it.
		call(t, s, 200, http.MethodGet, "/v1/organization/users", "", append(as("platform_auditor"), "OpenAI-Organization", evil)...)
		call(t, s, 200, http.MethodGet, "/v1/organization/users", "", append(as("platform_auditor"), "OpenAI-Organization", own)...)
		call(t, s, 404, http.MethodGet, "/v1/organization/users/user_01kdy7585ee0080000000000ke", "", append(as("platform_auditor"), "OpenAI-Organization", evil)...)
		call(t, s, 200, http.MethodHead, "/api/v1/orgs/"+evil+"/members?limit=1", "", as("platform_auditor")...)
		seen = call(t, s, 200, http.MethodGet, "/api/v1/orgs/"+evil+"/audit?action=org.read", "", as("eve")...)
		if strings.Count(seen.Body, `"target":"/v1/organization/users"`) != 1 || strings.Count(seen.Body, `"target":"/api/v1/orgs/:org/members"`) != 4 {
			t.Errorf("of two more reads are recorded %s", seen.Body)
		}
	})
}

func TestTheLastPlatformAdminStays(t *testing.T) {
	staffed(t, func(t *testing.T, s *kit.Server, _ func() *kit.Server) {
		appoint := func(subject string) string {
			t.Helper()
			return fmt.Sprint(object(t, call(t, s, 201, http.MethodPost, "/api/v1/platform/admins", `{"issuer":"dev","subject":"`+subject+`"}`, as("platform_admin")...))["id"])
		}
		first, second := appoint("victim"), appoint("org_member")
		if m := object(t, call(t, s, 200, http.MethodGet, "/api/v1/me", "", as("victim")...)); m["role"] != "platform_admin" {
			t.Errorf("who was appointed is %v", m["role"])
		}
		call(t, s, 200, http.MethodDelete, "/api/v1/platform/admins/"+second, "", as("victim")...)
		for _, step := range [][2]string{{http.MethodDelete, "/api/v1/platform/admins/" + first}, {http.MethodPatch, "/api/v1/platform/users/" + first}} {
			body := ""
			if step[0] == http.MethodPatch {
				body = `{"status":"suspended"}`
			}
			if a := call(t, s, 409, step[0], step[1], body, as("platform_admin")...); !strings.Contains(a.Body, "last_admin") {
				t.Errorf("got %s", a.Body)
			}
		}
	})
}

func TestStrangersAreRefusedWhereTheConfigurationSaysSo(t *testing.T) {
	s := kit.Start(t, kit.Options{Config: strings.Replace(staff, "identity:\n", "identity:\n  strangers: {orgs: refuse, users: refuse}\n  platform_admins: [{issuer: dev, subject: platform_admin}]\n", 1)})
	if a := call(t, s, 403, http.MethodGet, "/v1/models", "", as("victim")...); !strings.Contains(a.Body, "org_unknown") {
		t.Errorf("got %s", a.Body)
	}
	// Whoever the configuration names gets in, and makes room for others.
	me := object(t, call(t, s, 200, http.MethodGet, "/api/v1/me", "", as("platform_admin")...))
	if a := call(t, s, 403, http.MethodGet, "/v1/models", "", as("victim")...); !strings.Contains(a.Body, "user_unknown") {
		t.Errorf("got %s", a.Body)
	}
	list := "/api/v1/orgs/" + fmt.Sprint(me["org_id"]) + "/members"
	const victim = `{"issuer":"dev","subject":"victim","name":"Vic","email":"vic@example.com","role":"org_admin"}`
	call(t, s, 201, http.MethodPost, list, victim, as("platform_admin")...)
	call(t, s, 409, http.MethodPost, list, victim, as("platform_admin")...)
	if m := object(t, call(t, s, 200, http.MethodGet, "/api/v1/me", "", as("victim")...)); m["role"] != "org_admin" || m["name"] != "Vic" || m["email"] != "vic@example.com" {
		t.Errorf("who was added is %v", m)
	}
	call(t, s, 403, http.MethodPost, list, `{"issuer":"dev","subject":"org_owner","role":"org_owner"}`, as("victim")...)
	call(t, s, 409, http.MethodPost, "/api/v1/platform/orgs", `{"issuer":"dev","external_id":"acme"}`, as("platform_admin")...)
	call(t, s, 201, http.MethodPost, "/api/v1/platform/orgs", `{"issuer":"dev","external_id":"evil","name":"Evil Inc."}`, as("platform_admin")...)
	if a := call(t, s, 403, http.MethodGet, "/v1/models", "", as("eve")...); !strings.Contains(a.Body, "user_unknown") {
		t.Errorf("got %s", a.Body)
	}
}

func TestKeysAndAdminsFromATerminal(t *testing.T) {
	dir := t.TempDir()
	o := kit.Options{Config: staff, Dir: dir}
	s := kit.Start(t, o)
	run := func(code int, env []string, args ...string) string {
		t.Helper()
		out, got := agentapi(t, env, args...)
		if got != code {
			t.Fatalf("%v: exit code %d:\n%s", args, got, out)
		}
		return out
	}
	mine := []string{"AGENTAPI_URL=" + s.URL, "AGENTAPI_TOKEN=token-of-org_admin"}
	out := run(0, mine, "keys", "create", "laptop", "--model", "demo/*", "--expires", "720h")
	i := strings.Index(out, "aak_")
	if i < 0 || !strings.Contains(out, "not shown again") {
		t.Fatalf("got %s", out)
	}
	credential := strings.Fields(out[i:])[0]
	if a := s.Chat(t, kit.Ask("demo/echo", "hello"), "Authorization", "Bearer "+credential); a.Status != 200 {
		t.Errorf("%d %s", a.Status, a.Body)
	}
	id := "key_" + strings.Split(credential, "_")[1]
	if out := run(0, mine, "keys", "list"); !strings.Contains(out, id) || !strings.Contains(out, "laptop") || strings.Contains(out, credential) {
		t.Errorf("got %s", out)
	}
	next := run(0, mine, "keys", "rotate", id, "--grace", "0s")
	if a := s.Chat(t, kit.Ask("demo/echo", "hello"), "Authorization", "Bearer "+credential); a.Status != 401 {
		t.Errorf("a key without grace: %d", a.Status)
	}
	credential = strings.Fields(next[strings.Index(next, "aak_"):])[0]
	run(0, mine, "keys", "revoke", "key_"+strings.Split(credential, "_")[1])
	me := object(t, call(t, s, 200, http.MethodGet, "/api/v1/me", "", as("org_admin")...))
	org := fmt.Sprint(me["org_id"])
	if out := run(0, mine, "keys", "create", "ci", "--org", org, "--service", "builds"); !strings.Contains(out, "as service") {
		t.Errorf("got %s", out)
	}
	run(2, mine, "keys", "create", "ci", "--org", org)
	if out := run(0, mine, "admin", "get", "orgs/"+org+"/members"); !strings.Contains(out, "builds") {
		t.Errorf("got %s", out)
	}
	run(0, mine, "admin", "patch", "orgs/"+org, `{"name":"Acme Inc."}`)
	if out := run(1, mine, "admin", "get", "platform/orgs"); !strings.Contains(out, "platform:read") {
		t.Errorf("got %s", out)
	}
	run(2, mine, "admin", "delete", "orgs/"+org+"/members/"+fmt.Sprint(me["user_id"]))
	if _, err := s.Stop(10 * time.Second); err != nil {
		t.Fatal(err)
	}

	// The first platform admin, on the storage itself.
	data := []string{"AGENTAPI_DATA_DIR=" + dir}
	if out := run(0, data, "admin", "bootstrap", "dev", "org_member"); !strings.Contains(out, "is platform admin: org_member at dev") {
		t.Errorf("got %s", out)
	}
	if out := run(1, data, "admin", "bootstrap", "dev", "victim"); !strings.Contains(out, "There is a platform admin already") {
		t.Errorf("got %s", out)
	}
	s = kit.Start(t, o)
	if m := object(t, call(t, s, 200, http.MethodGet, "/api/v1/me", "", as("org_member")...)); m["role"] != "platform_admin" {
		t.Errorf("who was appointed is %v", m["role"])
	}
}

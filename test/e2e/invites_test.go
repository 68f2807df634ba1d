package e2e

import (
	"fmt"
	"net/http"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"agentapi/test/kit"
	"agentapi/test/postgres"
)

// closedDoors refuses strangers, and takes the tokens of an issuer.
func closedDoors(issuer string) string {
	return strings.Replace(staff, "identity:\n", "identity:\n  chain: [oidc, apikey, dev]\n  strangers: {orgs: refuse, users: refuse}\n"+
		"  platform_admins: [{issuer: dev, subject: platform_admin}]\n  oidc: {issuers: [{issuer: \""+issuer+"\"}]}\n", 1)
}

// by presents a token of the issuer's.
func by(t *testing.T, i *kit.Issuer, claims map[string]any) []string {
	t.Helper()
	return []string{"Authorization", "Bearer " + i.Token(t, claims)}
}

// verified are the claims of somebody of the organisation one with an address.
func verified(who, email string) map[string]any {
	return map[string]any{"sub": who, "org_id": "one", "email": email, "email_verified": true}
}

func TestWhoIsInvitedGetsInWhereStrangersDoNot(t *testing.T) {
	issuer := kit.NewIssuer(t)
	test := func(t *testing.T, o kit.Options) {
		s := kit.Start(t, o)
		refused := func(code string, claims map[string]any) {
			t.Helper()
			if a := call(t, s, 403, http.MethodGet, "/api/v1/me", "", by(t, issuer, claims)...); !strings.Contains(a.Body, code) {
				t.Errorf("got %s", a.Body)
			}
		}
		made := object(t, call(t, s, 201, http.MethodPost, "/api/v1/platform/orgs", `{"issuer":"`+issuer.URL+`","external_id":"one","name":"One Inc."}`, as("platform_admin")...))
		org := fmt.Sprint(made["id"])
		list := "/api/v1/orgs/" + org + "/invites"
		refused("user_unknown", verified("ann", "Ann@Example.com"))
		first := call(t, s, 201, http.MethodPost, list, `{"email":"ann@example.COM","role":"org_admin"}`, append(as("platform_admin"), "Idempotency-Key", "k")...)
		if m := object(t, first); m["status"] != "pending" || !strings.Contains(first.Body, "No e-mail was sent") || !strings.Contains(first.Body, issuer.URL) {
			t.Errorf("got %s", first.Body)
		}
		if again := call(t, s, 201, http.MethodPost, list, `{"email":"ann@example.COM","role":"org_admin"}`, append(as("platform_admin"), "Idempotency-Key", "k")...); object(t, again)["id"] != object(t, first)["id"] {
			t.Errorf("a repetition has made %s", again.Body)
		}
		if a := call(t, s, 409, http.MethodPost, list, `{"email":"ANN@example.com"}`, as("platform_admin")...); !strings.Contains(a.Body, "invitation_exists") {
			t.Errorf("got %s", a.Body)
		}
		for name, claims := range map[string]map[string]any{
			"another's address": {"email": "bob@example.com", "email_verified": true}, "no word about it": {"email": "ann@example.com"},
			"not verified": {"email": "ann@example.com", "email_verified": false}, "a text": {"email": "ann@example.com", "email_verified": "true"},
			"a number": {"email": "ann@example.com", "email_verified": 1}, "no address": {"email_verified": true}, "a list": {"email": []string{"ann@example.com"}, "email_verified": true},
			"one that looks alike": {"email": "ann@example.\u0441om", "email_verified": true},
		} {
			claims["sub"], claims["org_id"] = "mallory", "one"
			t.Run(name, func(t *testing.T) { refused("user_unknown", claims) })
		}

		// On first sight the invited is a member, with the role of the invitation.
		ann := by(t, issuer, verified("ann", "Ann@Example.com"))
		me := object(t, call(t, s, 200, http.MethodGet, "/api/v1/me", "", ann...))
		if me["role"] != "org_admin" || me["email"] != "Ann@Example.com" || me["org_id"] != org {
			t.Errorf("who was invited is %v", me)
		}
		path := list + "/" + fmt.Sprint(object(t, first)["id"])
		if m := object(t, call(t, s, 200, http.MethodGet, path, "", ann...)); m["status"] != "accepted" || m["user_id"] != me["user_id"] || m["accepted_at"] == nil {
			t.Errorf("the invitation is %v", m)
		}
		refused("user_unknown", verified("mallory", "ann@example.com")) // it is used up
		for step, code := range map[string]string{`{"email":"ann@example.com"}`: "member_exists", "": "invitation_ended"} {
			method, at := http.MethodPost, list
			if step == "" {
				method, at = http.MethodDelete, path
			}
			if a := call(t, s, 409, method, at, step, ann...); !strings.Contains(a.Body, code) {
				t.Errorf("got %s", a.Body)
			}
		}

		// One that was taken back is worth nothing.
		bob := list + "/" + fmt.Sprint(object(t, call(t, s, 201, http.MethodPost, list, `{"email":"bob@example.com"}`, ann...))["id"])
		call(t, s, 412, http.MethodDelete, bob, "", append(ann, "If-Match", `"7"`)...)
		for range 2 {
			if m := object(t, call(t, s, 200, http.MethodDelete, bob, "", ann...)); m["status"] != "revoked" {
				t.Errorf("got %v", m)
			}
		}
		refused("user_unknown", verified("bob", "bob@example.com"))

		// A token that names no organisation goes where its bearer was invited to, and stays there.
		call(t, s, 201, http.MethodPost, list, `{"email":"carol@example.com"}`, ann...)
		refused("org_required", map[string]any{"sub": "carol", "org_id": nil})
		for _, claims := range []map[string]any{{"email": "carol@example.com", "email_verified": true}, {}} {
			claims["sub"], claims["org_id"] = "carol", nil
			if m := object(t, call(t, s, 200, http.MethodGet, "/api/v1/me", "", by(t, issuer, claims)...)); m["org_id"] != org || m["role"] != "org_member" {
				t.Errorf("carol is %v", m)
			}
		}
		members := "/api/v1/orgs/" + org + "/members"
		found := call(t, s, 200, http.MethodGet, members+"?q=CAROL@", "", ann...)
		carol := fmt.Sprint(object(t, found)["first_id"])
		if strings.Count(found.Body, `"object":"member"`) != 1 {
			t.Errorf("got %s", found.Body)
		}
		call(t, s, 200, http.MethodDelete, members+"/"+carol, "", ann...)
		refused("org_required", map[string]any{"sub": "carol", "org_id": nil})

		for body, status := range map[string]int{
			`{"email":"x@example.com","role":"org_owner"}`: 403, `{"email":"x@example.com","role":"platform_admin"}`: 400, `{"email":"x@example.com","role":"service"}`: 400,
			`{"email":"x"}`: 400, `{"email":"x@y@z"}`: 400, `{"email":"x @example.com"}`: 400, `{}`: 400, `{"email":"x@example.com","expires_at":"2000-01-01T00:00:00Z"}`: 400,
			`{"email":"x@example.com","expires_at":"2100-01-01T00:00:00Z"}`: 400, `{"email":"x@example.com","name":"X"}`: 400,
		} {
			call(t, s, status, http.MethodPost, list, body, ann...)
		}
		call(t, s, 400, http.MethodGet, list+"?status=gone", "", ann...)
		for query, n := range map[string]int{"": 3, "?status=accepted": 2, "?status=revoked": 1, "?status=pending": 0} {
			if a := call(t, s, 200, http.MethodGet, list+query, "", ann...); strings.Count(a.Body, `"object":"invite"`) != n {
				t.Errorf("%q: got %s", query, a.Body)
			}
		}

		// The log has the invitation and no address; of who is erased nothing has it.
		call(t, s, 201, http.MethodPost, list, `{"email":"dave@example.com"}`, ann...)
		call(t, s, 200, http.MethodGet, "/api/v1/me", "", by(t, issuer, verified("dave", "dave@example.com"))...)
		log := call(t, s, 200, http.MethodGet, "/api/v1/orgs/"+org+"/audit?limit=100", "", ann...)
		for text, n := range map[string]int{`"action":"invitation.created"`: 4, `"action":"invitation.accepted"`: 3, `"action":"invitation.revoked"`: 2, `"personal":{"email":"`: 8, "example.com": 0} {
			if strings.Count(log.Body, text) != n {
				t.Errorf("%s is %d times in %s", text, strings.Count(log.Body, text), log.Body)
			}
		}
	}
	t.Run("in memory", func(t *testing.T) {
		test(t, kit.Options{Config: closedDoors(issuer.URL) + "storage: {driver: memory}\n"})
	})
	t.Run("in SQLite", func(t *testing.T) { test(t, kit.Options{Config: closedDoors(issuer.URL), Dir: t.TempDir()}) })
	t.Run("in Postgres", func(t *testing.T) {
		_, env := migrated(t, postgres.Shared(t))
		test(t, kit.Options{Config: closedDoors(issuer.URL), Env: env, Dir: t.TempDir()})
	})
}

func TestOfAnErasedUserNoInvitationIsLeft(t *testing.T) {
	issuer, dir := kit.NewIssuer(t), t.TempDir()
	s := kit.Start(t, kit.Options{Config: closedDoors(issuer.URL), Dir: dir})
	made := object(t, call(t, s, 201, http.MethodPost, "/api/v1/platform/orgs", `{"issuer":"`+issuer.URL+`","external_id":"one"}`, as("platform_admin")...))
	list := "/api/v1/orgs/" + fmt.Sprint(made["id"]) + "/invites"
	call(t, s, 201, http.MethodPost, list, `{"email":"ann@example.com","role":"org_owner"}`, as("platform_admin")...)
	ann := by(t, issuer, verified("ann", "ann@example.com"))
	call(t, s, 201, http.MethodPost, list, `{"email":"dave@example.com","role":"org_owner"}`, ann...)
	call(t, s, 200, http.MethodGet, "/api/v1/me", "", by(t, issuer, verified("dave", "dave@example.com"))...)
	call(t, s, 201, http.MethodPost, list, `{"email":"eve@example.com"}`, by(t, issuer, verified("dave", "dave@example.com"))...)
	if code, err := s.Stop(10 * time.Second); err != nil || code != 0 {
		t.Fatalf("%d, %v", code, err)
	}
	env := []string{"AGENTAPI_DATA_DIR=" + dir, "AGENTAPI_CONFIG=" + filepath.Join(dir, "agentapi.yaml")}
	left := func(text string) int {
		return found(t, file(t, filepath.Join(dir, "agentapi.db")), "SELECT m.name, p.name FROM sqlite_master m, pragma_table_info(m.name) p WHERE m.type = 'table'",
			"SELECT count(*) FROM %[1]q WHERE instr(lower(CAST(%[2]q AS TEXT)), lower('%[3]s')) > 0", text)
	}
	if left("dave@example.com") < 4 { // in the membership, the invitation and what the log knows
		t.Fatalf("the address is in %d columns before", left("dave@example.com"))
	}
	if out, code := agentapi(t, env, "data", "erase", "--org", issuer.URL+"/one", "--user", issuer.URL+"/dave", "--yes"); code != 0 {
		t.Fatalf("%d %s", code, out)
	}
	if n := left("dave"); n != 0 {
		t.Errorf("the address is left in %d rows", n)
	}
	if left("eve@example.com") == 0 {
		t.Error("another's invitation is gone")
	}
	if out, code := agentapi(t, env, "audit", "verify"); code != 0 {
		t.Errorf("%d %s", code, out)
	}
}

func TestDirectoriesAreSearched(t *testing.T) {
	staffed(t, func(t *testing.T, s *kit.Server, _ func() *kit.Server) {
		for _, who := range []string{"victim", "org_auditor", "org_owner", "eve"} {
			call(t, s, 200, http.MethodGet, "/api/v1/me", "", as(who)...)
		}
		me := object(t, call(t, s, 200, http.MethodGet, "/api/v1/me", "", as("org_admin")...))
		members := "/api/v1/orgs/" + fmt.Sprint(me["org_id"]) + "/members"
		newKey(t, s, "org_admin", "/api/v1/orgs/"+fmt.Sprint(me["org_id"])+"/api-keys", `{"name":"ci","service":"builds"}`)
		victim := fmt.Sprint(object(t, call(t, s, 200, http.MethodGet, "/api/v1/me", "", as("victim")...))["user_id"])
		call(t, s, 200, http.MethodPatch, members+"/"+victim, `{"status":"suspended"}`, as("org_admin")...)
		for path, n := range map[string]int{
			members + "?role=service": 1, members + "?role=org_auditor&status=active": 1, members + "?status=suspended": 1, members + "?q=VICT": 1,
			members + "?q=zoe": 0, members + "?role=org_member&q=vic&status=active": 0, members + "?role=org_admin&limit=1": 1,
			"/api/v1/platform/orgs?q=evi": 1, "/api/v1/platform/orgs?status=closed": 0, "/api/v1/platform/orgs?q=EVIL&status=active": 1,
			"/api/v1/platform/users?q=ev": 1, "/api/v1/platform/users?q=service/": 1, "/api/v1/platform/users?status=suspended": 0,
		} {
			a := call(t, s, 200, http.MethodGet, path, "", as("platform_admin")...)
			if data, _ := object(t, a)["data"].([]any); len(data) != n {
				t.Errorf("%s: got %s", path, a.Body)
			}
		}
		for path, code := range map[string]string{
			members + "?role=root": "invalid_value", members + "?status=closed": "invalid_value", members + "?q=": "invalid_value", members + "?name=x": "unknown_parameter",
			members + "?q=a&q=b": "invalid_value", "/api/v1/platform/orgs?status=gone": "invalid_value", "/api/v1/platform/admins?q=x": "unknown_parameter",
		} {
			if a := call(t, s, 400, http.MethodGet, path, "", as("platform_admin")...); !strings.Contains(a.Body, code) {
				t.Errorf("%s: got %s", path, a.Body)
			}
		}
	})
}

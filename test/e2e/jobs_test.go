package e2e

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"agentapi/test/kit"
)

// finished waits until a job has ended.
func finished(t *testing.T, s *kit.Server, path string, within time.Duration) map[string]any {
	t.Helper()
	return finishedBy(t, s, "org_admin", path, within)
}

// finishedBy is finished where who looks.
func finishedBy(t *testing.T, s *kit.Server, who, path string, within time.Duration) map[string]any {
	t.Helper()
	var j map[string]any
	for until := time.Now().Add(within); time.Now().Before(until); {
		j = object(t, call(t, s, 200, http.MethodGet, path, "", as(who)...))
		if j["state"] == "succeeded" || j["state"] == "failed" {
			return j
		}
	}
	t.Fatalf("the job does not end: %v", j)
	return nil
}

func TestAUsersDataIsExportedAndErasedByTheAPI(t *testing.T) {
	staffed(t, func(t *testing.T, s *kit.Server, _ func() *kit.Server) {
		me := object(t, call(t, s, 200, http.MethodGet, "/api/v1/me", "", as("victim")...))
		base := "/api/v1/orgs/" + fmt.Sprint(me["org_id"])
		user := base + "/users/" + fmt.Sprint(me["user_id"])
		for _, text := range []string{"the canary sings", "and is silent"} {
			if a := s.Chat(t, kit.Ask("demo/echo", text), as("victim")...); a.Status != 200 {
				t.Fatal(a.Body)
			}
		}
		_, key := newKey(t, s, "victim", "/api/v1/me/api-keys", `{"name":"canary key"}`)

		once := append(as("org_admin"), "Idempotency-Key", "export-1")
		a := call(t, s, 202, http.MethodPost, user+"/export", "{}", once...)
		j := object(t, a)
		path := a.Header.Get("Location")
		if j["object"] != "job" || j["kind"] != "user.export" || path != base+"/jobs/"+fmt.Sprint(j["id"]) {
			t.Errorf("asked for: %s, at %s", a.Body, path)
		}
		if again := call(t, s, 202, http.MethodPost, user+"/export", "{}", once...); object(t, again)["id"] != j["id"] {
			t.Errorf("a repetition is another job: %s", again.Body)
		}
		done := finished(t, s, path, 20*time.Second)
		if done["state"] != "succeeded" || done["rows"] == float64(0) || done["result_url"] != path+"/result" {
			t.Errorf("the export is %v", done)
		}
		a = call(t, s, 200, http.MethodGet, path+"/result", "", as("org_owner")...)
		lines := strings.Split(strings.TrimSpace(a.Body), "\n")
		var end struct {
			Kind     string
			Messages int
			SHA256   string
		}
		if err := json.Unmarshal([]byte(lines[len(lines)-1]), &end); err != nil || end.Kind != "end" || end.Messages != 4 || len(end.SHA256) != 64 || !strings.Contains(a.Body, "the canary sings") {
			t.Errorf("the export holds %s, %v", a.Body, err)
		}

		call(t, s, 400, http.MethodDelete, user, "", as("org_admin")...)
		call(t, s, 403, http.MethodDelete, user+"?mode=erase", "", as("org_auditor")...)
		boss := object(t, call(t, s, 200, http.MethodGet, "/api/v1/me", "", as("org_admin")...))
		call(t, s, 403, http.MethodDelete, base+"/users/"+fmt.Sprint(boss["user_id"])+"?mode=erase", "", as("org_admin")...)
		owner := object(t, call(t, s, 200, http.MethodGet, "/api/v1/me", "", as("org_owner")...))
		call(t, s, 403, http.MethodDelete, base+"/users/"+fmt.Sprint(owner["user_id"])+"?mode=erase", "", as("org_admin")...)
		call(t, s, 404, http.MethodDelete, base+"/users/user_01kdy7585ee0080000000000ke?mode=erase", "", as("org_admin")...)

		a = call(t, s, 202, http.MethodDelete, user+"?mode=erase", "", as("org_admin")...)
		gone := finished(t, s, a.Header.Get("Location"), 20*time.Second)
		if gone["state"] != "succeeded" || gone["user_id"] == me["user_id"] || gone["rows"] == float64(0) {
			t.Errorf("the erasure is %v", gone)
		}
		if a := s.Chat(t, kit.Ask("demo/echo", "x"), "Authorization", "Bearer "+key); a.Status != 401 {
			t.Errorf("an erased user's key: %d %s", a.Status, a.Body)
		}
		call(t, s, 404, http.MethodGet, base+"/members/"+fmt.Sprint(me["user_id"]), "", as("org_admin")...)
		all := call(t, s, 200, http.MethodGet, base+"/jobs", "", as("org_owner")...)
		if strings.Contains(all.Body, fmt.Sprint(me["user_id"])) || len(object(t, all)["data"].([]any)) != 2 {
			t.Errorf("the jobs still tell whom they were about: %s", all.Body)
		}
		call(t, s, 404, http.MethodGet, path+"/result", "", as("eve")...)
		call(t, s, 410, http.MethodGet, path+"/result", "", as("org_owner")...)
		log := call(t, s, 200, http.MethodGet, base+"/audit?limit=50", "", as("org_auditor")...)
		for _, action := range []string{"data.export_requested", "data.exported", "data.erasure_requested", "data.erased"} {
			if !strings.Contains(log.Body, `"`+action+`"`) {
				t.Errorf("%s is not recorded", action)
			}
		}
	})
}

func TestAJobOutlivesTheServerThatBeganIt(t *testing.T) {
	t.Parallel()
	o := kit.Options{Config: staff, Dir: t.TempDir()}
	s, err := kit.Launch(t, o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Kill)
	me := object(t, call(t, s, 200, http.MethodGet, "/api/v1/me", "", as("victim")...))
	for i := range 60 {
		call(t, s, 201, http.MethodPost, "/api/v1/sessions", fmt.Sprintf(`{"title":"canary %d"}`, i), as("victim")...)
	}
	a := call(t, s, 202, http.MethodDelete, "/api/v1/orgs/"+fmt.Sprint(me["org_id"])+"/users/"+fmt.Sprint(me["user_id"])+"?mode=erase", "", as("org_admin")...)
	s.Kill()
	s, err = kit.Launch(t, o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Kill)
	if j := finished(t, s, a.Header.Get("Location"), time.Minute); j["state"] != "succeeded" {
		t.Errorf("the job is %v", j)
	}
	if list := call(t, s, 200, http.MethodGet, "/api/v1/sessions", "", as("victim")...); strings.Contains(list.Body, "canary") {
		t.Errorf("what was to go is there: %s", list.Body)
	}
}

func TestAnOrganisationIsErasedByTheAPI(t *testing.T) {
	staffed(t, func(t *testing.T, s *kit.Server, _ func() *kit.Server) {
		eve := object(t, call(t, s, 200, http.MethodGet, "/api/v1/me", "", as("eve")...))
		org := fmt.Sprint(eve["org_id"])
		if a := s.Chat(t, kit.Ask("demo/echo", "the canary sings"), as("eve")...); a.Status != 200 {
			t.Fatal(a.Body)
		}
		_, key := newKey(t, s, "eve", "/api/v1/me/api-keys", `{"name":"canary key"}`)
		call(t, s, 201, http.MethodPost, "/api/v1/orgs/"+org+"/invites", `{"email":"canary@example.com","role":"org_member"}`, as("eve")...)
		call(t, s, 200, http.MethodPatch, "/api/v1/orgs/"+org, `{"name":"Canary & Sons"}`, as("eve")...)
		own := object(t, call(t, s, 200, http.MethodGet, "/api/v1/me", "", as("platform_admin")...))

		path := "/api/v1/platform/orgs/" + org
		const named = "?confirm=Canary+%26+Sons"
		for _, c := range []struct {
			status       int
			who, request string
		}{
			{400, "platform_admin", path}, {400, "platform_admin", path + "?confirm=evil"}, {400, "platform_admin", path + named + "&force=1"},
			{403, "org_owner", path + named}, {403, "eve", path + named}, {403, "platform_auditor", path + named},
			{409, "platform_admin", "/api/v1/platform/orgs/" + fmt.Sprint(own["org_id"]) + "?confirm=acme"},
			{404, "platform_admin", "/api/v1/platform/orgs/org_01kdy7585ee0080000000000ke?confirm=x"},
		} {
			call(t, s, c.status, http.MethodDelete, c.request, "", as(c.who)...)
		}
		appointed := object(t, call(t, s, 201, http.MethodPost, "/api/v1/platform/admins", `{"issuer":"dev","subject":"eve","role":"platform_auditor"}`, as("platform_admin")...))
		call(t, s, 409, http.MethodDelete, path+named, "", as("platform_admin")...)
		call(t, s, 200, http.MethodDelete, "/api/v1/platform/admins/"+fmt.Sprint(appointed["id"]), "", as("platform_admin")...)
		if a := s.Chat(t, kit.Ask("demo/echo", "x"), as("eve")...); a.Status != 200 {
			t.Fatalf("what was refused has shut somebody out: %s", a.Body)
		}

		once := append(as("platform_admin"), "Idempotency-Key", "gone")
		a := call(t, s, 202, http.MethodDelete, path+named, "", once...)
		j := object(t, a)
		if j["kind"] != "org.erase" || j["user_id"] != nil || a.Header.Get("Location") != "/api/v1/orgs/"+org+"/jobs/"+fmt.Sprint(j["id"]) {
			t.Errorf("asked for: %s", a.Body)
		}
		if again := object(t, call(t, s, 202, http.MethodDelete, path+named, "", once...)); again["id"] != j["id"] {
			t.Errorf("a repetition is another job: %v", again)
		}
		if done := finishedBy(t, s, "platform_admin", a.Header.Get("Location"), 20*time.Second); done["state"] != "succeeded" || done["rows"] == float64(0) {
			t.Errorf("the erasure is %v", done)
		}
		for _, by := range [][]string{as("eve"), {"Authorization", "Bearer " + key}} {
			if a := s.Chat(t, kit.Ask("demo/echo", "x"), by...); a.Status != 403 && a.Status != 401 {
				t.Errorf("somebody is let in: %d %s", a.Status, a.Body)
			}
		}
		for what, list := range map[string]string{"members": "members", "invitations": "invites", "keys": "api-keys", "conversations": "sessions"} {
			if got := object(t, call(t, s, 200, http.MethodGet, "/api/v1/orgs/"+org+"/"+list, "", as("platform_admin")...)); len(got["data"].([]any)) != 0 {
				t.Errorf("%s are left: %v", what, got)
			}
		}
		if used := call(t, s, 200, http.MethodGet, "/api/v1/platform/usage?group_by=org", "", as("platform_admin")...); strings.Contains(used.Body, org) {
			t.Errorf("usage is left: %s", used.Body)
		}
		left := call(t, s, 200, http.MethodGet, "/api/v1/orgs/"+org, "", as("platform_admin")...)
		if o := object(t, left); o["status"] != "closed" || strings.Contains(left.Body, "Canary") {
			t.Errorf("of the organisation is left %s", left.Body)
		}
		log := call(t, s, 200, http.MethodGet, "/api/v1/platform/audit?limit=100&org="+org, "", as("platform_admin")...)
		for _, action := range []string{"org.erasure_requested", "data.erased", "org.erased"} {
			if !strings.Contains(log.Body, `"`+action+`"`) {
				t.Errorf("%s is not recorded: %s", action, log.Body)
			}
		}
		if v := object(t, call(t, s, 200, http.MethodPost, "/api/v1/platform/audit/verify", `{"after":0,"most":1000}`, as("platform_admin")...)); v["ok"] != true {
			t.Errorf("the log is %v", v)
		}
		if a := s.Chat(t, kit.Ask("demo/echo", "x"), as("victim")...); a.Status != 200 {
			t.Errorf("another organisation: %d %s", a.Status, a.Body)
		}
	})
}

func TestAnErasureOfAnOrganisationOutlivesItsServer(t *testing.T) {
	t.Parallel()
	o := kit.Options{Config: staff, Dir: t.TempDir()}
	s, err := kit.Launch(t, o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Kill)
	org := fmt.Sprint(object(t, call(t, s, 200, http.MethodGet, "/api/v1/me", "", as("eve")...))["org_id"])
	for i := range 40 {
		call(t, s, 201, http.MethodPost, "/api/v1/orgs/"+org+"/members", fmt.Sprintf(`{"issuer":"dev","subject":"canary-%d"}`, i), as("eve")...)
	}
	members := "/api/v1/orgs/" + org + "/members?limit=100"
	left := func() int {
		return len(object(t, call(t, s, 200, http.MethodGet, members, "", as("platform_admin")...))["data"].([]any))
	}
	a := call(t, s, 202, http.MethodDelete, "/api/v1/platform/orgs/"+org+"?confirm=evil", "", as("platform_admin")...)
	for n := left(); n == 41; n = left() {
	}
	s.Kill()
	if s, err = kit.Launch(t, o); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Kill)
	t.Logf("the second server finds %d of 41 members", left())
	if j := finishedBy(t, s, "platform_admin", a.Header.Get("Location"), time.Minute); j["state"] != "succeeded" {
		t.Errorf("the job is %v", j)
	}
	if n := left(); n != 0 {
		t.Errorf("%d members are left", n)
	}
}

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
	var j map[string]any
	for until := time.Now().Add(within); time.Now().Before(until); {
		j = object(t, call(t, s, 200, http.MethodGet, path, "", as("org_admin")...))
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

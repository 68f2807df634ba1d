package e2e

import (
	"fmt"
	"net/http"
	"strings"
	"testing"

	"agentapi/test/kit"
)

func TestAnOrganisationSeesHowLongItsDataIsKept(t *testing.T) {
	config := staff + "retention: {sessions: 30d, orgs: {dev/evil: {usage: 1d}}}\n"
	configured(t, config, func(t *testing.T, s *kit.Server, _ func() *kit.Server) {
		const day = 24 * 60 * 60
		retention := func(who string) string {
			t.Helper()
			me := object(t, call(t, s, 200, http.MethodGet, "/api/v1/me", "", as(who)...))
			return "/api/v1/orgs/" + fmt.Sprint(me["org_id"]) + "/retention"
		}
		ours := retention("org_admin")
		theirs := retention("eve")
		for _, c := range []struct {
			path, who       string
			own             bool
			sessions, usage any
		}{
			{ours, "org_admin", false, float64(30 * day), nil},
			{ours, "platform_auditor", false, float64(30 * day), nil},
			{theirs, "platform_admin", true, nil, float64(day)},
		} {
			got := object(t, call(t, s, 200, http.MethodGet, c.path, "", as(c.who)...))
			if got["object"] != "organization.retention" || got["own"] != c.own || got["sessions_seconds"] != c.sessions || got["usage_seconds"] != c.usage {
				t.Errorf("%s by %s: %v", c.path, c.who, got)
			}
		}
		a := call(t, s, 200, http.MethodGet, ours, "", as("org_admin")...)
		changed := object(t, call(t, s, 200, http.MethodPatch, ours, fmt.Sprintf(`{"sessions_seconds":%d,"usage_seconds":%d}`, 7*day, 400*day), append(as("org_admin"), "If-Match", a.Header.Get("ETag"))...))
		if changed["own"] != true || changed["sessions_seconds"] != float64(7*day) || changed["usage_seconds"] != float64(400*day) || changed["max_sessions_seconds"] != float64(30*day) || changed["max_usage_seconds"] != nil {
			t.Errorf("changed to %v", changed)
		}
		call(t, s, 412, http.MethodPatch, ours, `{"sessions_seconds":7200}`, append(as("org_admin"), "If-Match", a.Header.Get("ETag"))...)
		for _, bad := range []string{fmt.Sprintf(`{"sessions_seconds":%d}`, 31*day), `{"sessions_seconds":60}`, `{"sessions_seconds":0}`, `{"usage_seconds":-1}`, `{"usage_seconds":"1d"}`, `{"usage_seconds":1.5}`, `{"usage_seconds":99999999999999}`, `{"messages_seconds":7200}`} {
			call(t, s, 400, http.MethodPatch, ours, bad, as("org_admin")...)
		}
		back := object(t, call(t, s, 200, http.MethodPatch, ours, `{"sessions_seconds":null}`, as("org_owner")...))
		if back["sessions_seconds"] != float64(30*day) || back["usage_seconds"] != float64(400*day) {
			t.Errorf("back to %v", back)
		}
		call(t, s, 403, http.MethodPatch, ours, `{"sessions_seconds":7200}`, as("org_auditor")...)
		call(t, s, 404, http.MethodPatch, ours, `{"sessions_seconds":7200}`, as("eve")...)
		if log := call(t, s, 200, http.MethodGet, ours[:len(ours)-len("/retention")]+"/audit", "", as("org_auditor")...); !strings.Contains(log.Body, `"sessions_seconds":"604800"`) {
			t.Errorf("the change is not recorded: %s", log.Body)
		}
		call(t, s, 404, http.MethodGet, theirs, "", as("org_admin")...)
		call(t, s, 403, http.MethodGet, ours, "", as("org_member")...)
	})
}

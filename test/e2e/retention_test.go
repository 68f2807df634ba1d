package e2e

import (
	"fmt"
	"net/http"
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
		call(t, s, 404, http.MethodGet, theirs, "", as("org_admin")...)
		call(t, s, 403, http.MethodGet, ours, "", as("org_member")...)
	})
}

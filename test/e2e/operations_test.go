package e2e

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"agentapi/test/kit"
	"agentapi/test/postgres"
)

// fleet is an agent up at an upstream, two that answers by itself, and ways to both.
func fleet(t *testing.T, mode string) string {
	return staff + fmt.Sprintf(`agents:
  up: {driver: openai, models: [mock-1, echo], limits: {concurrent: 7, idle: 0s}, openai: {base_url: %q, api_key: canary-upstream, headers: {X-Extra: canary-header}}}
  two: {driver: demo, models: [echo]}
routing: {default: [up, two], aliases: {team: [up/mock-1, two/echo], lone: [up/mock-1]}}
`, kit.NewUpstream(t, mode).URL)
}

func TestAnAgentIsTakenOutOfServiceAndBack(t *testing.T) {
	configured(t, fleet(t, "ok"), func(t *testing.T, s *kit.Server, again func() *kit.Server) {
		const path = "/api/v1/platform/agents/up"
		admin := func(headers ...string) []string { return append(as("platform_admin"), headers...) }
		agent := object(t, call(t, s, 200, http.MethodGet, path, "", as("platform_auditor")...))
		if limits, _ := agent["limits"].(map[string]any); agent["driver"] != "openai" || agent["enabled"] != true || agent["version"] != 1.0 || limits["concurrent"] != 7.0 || limits["queue_seconds"] != 10.0 {
			t.Errorf("the agent is %v", agent)
		}
		if a := call(t, s, 200, http.MethodGet, "/api/v1/platform/agents?limit=1", "", admin()...); !strings.Contains(a.Body, `"id":"two"`) || strings.Contains(a.Body, `"id":"up"`) || !strings.Contains(a.Body, `"has_more":true`) {
			t.Errorf("got %s", a.Body)
		}
		for body, code := range map[string]string{`{"enabled":"no"}`: "invalid_type", `{"enabled":null}`: "invalid_type", `{"name":"x"}`: "unknown_parameter", `[]`: "invalid_request"} {
			if a := call(t, s, 400, http.MethodPatch, path, body, admin()...); !strings.Contains(a.Body, code) {
				t.Errorf("%s: got %s", body, a.Body)
			}
		}
		if a := call(t, s, 404, http.MethodPatch, "/api/v1/platform/agents/nope", `{"enabled":false}`, admin()...); !strings.Contains(a.Body, "agent_not_found") {
			t.Errorf("got %s", a.Body)
		}
		// answers tells which agent answers to a name; "": none, truthfully.
		answers := func(model, want string) {
			t.Helper()
			a := s.Chat(t, kit.Ask(model, "hello"), as("victim")...)
			switch {
			case want != "" && (a.Status != 200 || a.Header.Get("X-Agentapi-Agent") != want):
				t.Errorf("%s: %d by %q: %s", model, a.Status, a.Header.Get("X-Agentapi-Agent"), a.Body)
			case want == "" && (a.Status != 503 || !strings.Contains(a.Body, `"code":"agent_unavailable"`) || !strings.Contains(a.Body, "an administrator has taken out of service up")):
				t.Errorf("%s: %d %s", model, a.Status, a.Body)
			}
		}
		for _, model := range []string{"team", "lone", "echo", "mock-1", "up/mock-1"} {
			answers(model, "up")
		}
		off := call(t, s, 200, http.MethodPatch, path, `{"enabled":false}`, admin("If-Match", `"1"`)...)
		if m := object(t, off); m["enabled"] != false || m["version"] != 2.0 || off.Header.Get("ETag") != `"2"` {
			t.Errorf("got %s", off.Body)
		}
		call(t, s, 412, http.MethodPatch, path, `{"enabled":true}`, admin("If-Match", `"1"`)...)
		if m := object(t, call(t, s, 200, http.MethodPatch, path, `{"enabled":false}`, admin()...)); m["version"] != 2.0 {
			t.Errorf("a change of nothing made %v", m)
		}
		gone := func() {
			t.Helper()
			for model, want := range map[string]string{"team": "two", "echo": "two", "two/echo": "two", "lone": "", "mock-1": "", "up/mock-1": "", "up/echo": ""} {
				answers(model, want)
			}
			list := call(t, s, 200, http.MethodGet, "/v1/models", "", as("victim")...).Body
			for id, there := range map[string]bool{"team": true, "echo": true, "two/echo": true, "lone": false, "mock-1": false, "up/mock-1": false} {
				if strings.Contains(list, `"id":"`+id+`"`) != there {
					t.Errorf("%s in the list is not %v: %s", id, there, list)
				}
			}
		}
		gone()
		if a := call(t, s, 200, http.MethodGet, "/api/v1/platform/aliases", "", admin()...); !strings.Contains(a.Body, `{"id":"team","object":"alias","candidates":[{"agent":"up","model":"mock-1","enabled":false},{"agent":"two","model":"echo","enabled":true}],"enabled":true}`) {
			t.Errorf("got %s", a.Body)
		}
		if a := call(t, s, 200, http.MethodGet, "/api/v1/platform/models", "", admin()...); !strings.Contains(a.Body, `"id":"up/mock-1"`) || strings.Count(a.Body, `"enabled":false`) != 2 {
			t.Errorf("got %s", a.Body)
		}
		log := call(t, s, 200, http.MethodGet, "/api/v1/platform/audit?action=agent.changed", "", admin()...).Body
		if strings.Count(log, `"action":"agent.changed"`) != 1 || !strings.Contains(log, `"enabled":"false"`) {
			t.Errorf("the log has %s", log)
		}
		if s = again(); !strings.HasSuffix(t.Name(), "in_memory") {
			gone()
		}
		call(t, s, 200, http.MethodPatch, path, `{"enabled":true}`, admin()...)
		answers("team", "up")
		answers("up/mock-1", "up")
	})
}

func TestAnotherInstanceLeavesAnAgentAloneSoon(t *testing.T) {
	_, env := migrated(t, postgres.Shared(t))
	o := kit.Options{Config: fleet(t, "ok"), Env: env}
	one, other := kit.Start(t, o), kit.Start(t, o)
	call(t, one, 200, http.MethodPatch, "/api/v1/platform/agents/up", `{"enabled":false}`, as("platform_admin")...)
	began := time.Now()
	if !kit.Soon(30*time.Second, func() bool { return other.Chat(t, kit.Ask("up/mock-1", "hello"), as("victim")...).Status == 503 }) {
		t.Error("the other instance still asks it after 30 s")
	}
	t.Logf("felt after %v", time.Since(began).Round(time.Millisecond))
}

func TestAnAgentIsTried(t *testing.T) {
	for mode, want := range map[string]string{"ok": "", "500": "upstream_error", "hang": "upstream_timeout", "nofinish": "", "429": "rate_limit_exceeded"} {
		t.Run(mode, func(t *testing.T) {
			t.Parallel()
			if mode == "hang" {
				kit.Plain(t, "it waits for 20 s")
			}
			s := kit.Start(t, kit.Options{Config: fleet(t, mode) + "storage: {driver: memory}\n"})
			began := time.Now()
			a := call(t, s, 200, http.MethodPost, "/api/v1/platform/agents/up/test", `{}`, as("platform_admin")...)
			took := time.Since(began)
			m := object(t, a)
			failed, _ := m["error"].(map[string]any)
			if m["ok"] != (want == "") || want != "" && failed["code"] != want || m["asked"] != "answer" || m["model"] != "mock-1" || took > 23*time.Second {
				t.Errorf("after %v: %s", took, a.Body)
			}
			if strings.Contains(a.Body, "secret-of-upstream") || strings.Contains(a.Body, "canary") {
				t.Errorf("it shows a secret: %s", a.Body)
			}
			log := call(t, s, 200, http.MethodGet, "/api/v1/platform/audit?action=agent.tested", "", as("platform_admin")...).Body
			if strings.Count(log, `"action":"agent.tested"`) != 1 || strings.Contains(log, `"outcome":"failed"`) != (want != "") {
				t.Errorf("the log has %s", log)
			}
			used := object(t, call(t, s, 200, http.MethodGet, "/api/v1/platform/stats", "", as("platform_admin")...))["last_hour"].(map[string]any)
			if mode == "ok" && (used["prompt_tokens"] != 11.0 || used["completion_tokens"] != 7.0) {
				t.Errorf("booked was %v", used)
			}
		})
	}
	t.Run("what it is asked for", func(t *testing.T) {
		t.Parallel()
		u := kit.NewUpstream(t, "ok")
		s := kit.Start(t, kit.Options{Config: staff + fmt.Sprintf("storage: {driver: memory}\nagents: {up: {driver: openai, models: [\"v/*\"], openai: {base_url: %q}}}\n", u.URL)})
		if m := object(t, call(t, s, 200, http.MethodPost, "/api/v1/platform/agents/up/test", "", as("platform_admin")...)); m["ok"] != true || m["asked"] != "models" || u.Requests() != 0 {
			t.Errorf("got %v", m)
		}
		if m := object(t, call(t, s, 200, http.MethodPost, "/api/v1/platform/agents/up/test", `{"model":"v/x"}`, as("platform_admin")...)); m["ok"] != true || m["model"] != "v/x" || !strings.Contains(u.Last(), `"v/x"`) {
			t.Errorf("got %v", m)
		}
		call(t, s, 404, http.MethodPost, "/api/v1/platform/agents/nope/test", "", as("platform_admin")...)
	})
}

// runs waits until as many requests run as want says, and gives them.
func runs(t *testing.T, s *kit.Server, want int) (all []map[string]any) {
	t.Helper()
	if !kit.Soon(5*time.Second, func() bool {
		var list struct{ Data []map[string]any }
		a := call(t, s, 200, http.MethodGet, "/api/v1/platform/sessions", "", as("platform_auditor")...)
		if err := json.Unmarshal([]byte(a.Body), &list); err != nil {
			t.Fatal(err)
		}
		all = list.Data
		return len(all) == want
	}) {
		t.Fatalf("there run %v", all)
	}
	return all
}

func TestAnAdministratorEndsWhatRuns(t *testing.T) {
	configured(t, fleet(t, "half"), func(t *testing.T, s *kit.Server, _ func() *kit.Server) {
		open := func(headers ...string) *bufio.Reader {
			t.Helper()
			resp, err := s.Open(t.Context(), http.MethodPost, "/v1/chat/completions", kit.AskStream("up/mock-1", "hello"), append(as("victim"), headers...)...)
			if err != nil || resp.StatusCode != 200 {
				t.Fatal(resp, err)
			}
			t.Cleanup(func() { resp.Body.Close() })
			return bufio.NewReader(resp.Body)
		}
		// told checks that a stream ends with the truth, and without a proper end.
		told := func(r io.Reader) {
			t.Helper()
			text, err := io.ReadAll(r)
			if err != nil || !strings.Contains(string(text), `"code":"request_ended"`) || !strings.Contains(string(text), "An administrator has ended this request.") || strings.Contains(string(text), "[DONE]") {
				t.Errorf("the client was told %s, %v", text, err)
			}
		}
		stream := open()
		one := runs(t, s, 1)[0]
		if one["agent"] != "up" || one["model"] != "up/mock-1" || one["agent_model"] != "mock-1" || one["phase"] != "answering" || one["stream"] != true || one["session_id"] == nil || one["org_id"] == nil {
			t.Errorf("what runs is %v", one)
		}
		// Taken out of service, it goes on with what it has begun.
		call(t, s, 200, http.MethodPatch, "/api/v1/platform/agents/up", `{"enabled":false}`, as("platform_admin")...)
		runs(t, s, 1)
		call(t, s, 200, http.MethodPatch, "/api/v1/platform/agents/up", `{"enabled":true}`, as("platform_admin")...)
		path := "/api/v1/platform/sessions/" + fmt.Sprint(one["id"])
		call(t, s, 403, http.MethodDelete, path, "", as("org_owner")...)
		call(t, s, 200, http.MethodDelete, path, "", as("platform_admin")...)
		told(stream)
		runs(t, s, 0)
		call(t, s, 404, http.MethodDelete, path, "", as("platform_admin")...)

		// Those who share an answer are all told.
		key := []string{"Idempotency-Key", "shared"}
		first, second := open(key...), open(key...)
		call(t, s, 200, http.MethodDelete, "/api/v1/platform/sessions/"+fmt.Sprint(runs(t, s, 1)[0]["id"]), "", as("platform_admin")...)
		told(first)
		told(second)

		log := call(t, s, 200, http.MethodGet, "/api/v1/platform/audit", "", as("platform_admin")...).Body
		if strings.Count(log, `"action":"request.ended"`) != 2 || strings.Count(log, `"outcome":"canceled"`) != 2 {
			t.Errorf("the log has %s", log)
		}
	})
	t.Run("before it has begun", func(t *testing.T) {
		s := kit.Start(t, kit.Options{Config: fleet(t, "hang") + "storage: {driver: memory}\n"})
		answer := make(chan kit.Answer, 1)
		go func() {
			a, err := s.Do(t.Context(), http.MethodPost, "/v1/chat/completions", kit.Ask("team", "hello"), as("victim")...)
			if err != nil {
				t.Error(err)
			}
			answer <- a
		}()
		one := runs(t, s, 1)[0]
		if !kit.Soon(5*time.Second, func() bool { one = runs(t, s, 1)[0]; return one["phase"] == "waiting" }) {
			t.Errorf("what runs is %v", one)
		}
		call(t, s, 200, http.MethodDelete, "/api/v1/platform/sessions/"+fmt.Sprint(one["id"]), "", as("platform_admin")...)
		if a := <-answer; a.Status != 503 || !strings.Contains(a.Body, `"code":"request_ended"`) || a.Header.Get("X-Should-Retry") != "false" || a.Header.Get("Retry-After") != "" {
			t.Errorf("the client was told %d %v %s", a.Status, a.Header, a.Body) // and no other agent was asked
		}
	})
}

func TestAnOrganisationsSessions(t *testing.T) {
	configured(t, fleet(t, "half"), func(t *testing.T, s *kit.Server, _ func() *kit.Server) {
		say := func(who, text string) string {
			t.Helper()
			a := s.Chat(t, kit.Ask("two/echo", text), append(as(who), "X-Session-Id", "mine")...)
			if a.Status != 200 {
				t.Fatalf("%d %s", a.Status, a.Body)
			}
			wait(t.Context(), 2*time.Millisecond) // sessions are listed by the millisecond in which they were begun
			return a.Header.Get("X-Agentapi-Session-Id")
		}
		victims, members, eves := say("victim", "canary of a victim"), say("org_member", "canary of a member"), say("eve", "canary of eve")
		me := object(t, call(t, s, 200, http.MethodGet, "/api/v1/me", "", as("victim")...))
		org := "/api/v1/orgs/" + fmt.Sprint(me["org_id"])
		list := func(who, query string, want ...string) {
			t.Helper()
			a := call(t, s, 200, http.MethodGet, org+"/sessions"+query, "", as(who)...)
			if strings.Contains(a.Body, "canary") || strings.Contains(a.Body, `"title"`) || strings.Contains(a.Body, "mine") || strings.Contains(a.Body, eves) || strings.Count(a.Body, `"object":"session"`) != len(want) {
				t.Errorf("%s: got %s", query, a.Body)
			}
			for _, id := range want {
				if !strings.Contains(a.Body, id) {
					t.Errorf("%s: %s is not in %s", query, id, a.Body)
				}
			}
		}
		list("org_admin", "", victims, members)
		list("org_auditor", "?user="+fmt.Sprint(me["user_id"]), victims)
		list("platform_auditor", "?agent=two&since=2020-01-01T00:00:00Z", victims, members)
		list("org_admin", "?agent=up")
		list("org_admin", "?until=2020-01-01T00:00:00Z")
		list("org_admin", "?limit=1&order=asc", victims)
		for query, code := range map[string]string{"?q=canary": "unknown_parameter", "?user=ann": "invalid_id", "?since=yesterday": "invalid_type", "?status=": "invalid_value", "?limit=0": "out_of_range"} {
			if a := call(t, s, 400, http.MethodGet, org+"/sessions"+query, "", as("org_admin")...); !strings.Contains(a.Body, code) {
				t.Errorf("%s: got %s", query, a.Body)
			}
		}
		call(t, s, 404, http.MethodGet, org+"/sessions/"+eves, "", as("org_admin")...)
		one := call(t, s, 200, http.MethodGet, org+"/sessions/"+victims, "", as("org_admin")...)
		if m := object(t, one); m["user_id"] != me["user_id"] || m["message_count"] != 2.0 || m["agent"] != "two" || one.Header.Get("ETag") == "" {
			t.Errorf("got %s", one.Body)
		}

		// It is removed while a turn runs in it.
		resp, err := s.Open(t.Context(), http.MethodPost, "/v1/chat/completions", kit.AskStream("up/mock-1", "more"), append(as("victim"), "X-Session-Id", victims)...)
		if err != nil || resp.StatusCode != 200 {
			t.Fatal(resp, err)
		}
		defer resp.Body.Close()
		runs(t, s, 1)
		path := org + "/sessions/" + victims
		call(t, s, 412, http.MethodDelete, path, "", append(as("org_admin"), "If-Match", `"77"`)...)
		call(t, s, 403, http.MethodDelete, path, "", as("org_auditor")...)
		call(t, s, 200, http.MethodDelete, path, "", append(as("org_admin"), "If-Match", one.Header.Get("ETag"))...)
		if text, err := io.ReadAll(resp.Body); err != nil || !strings.Contains(string(text), `"code":"request_ended"`) {
			t.Errorf("the client was told %s, %v", text, err)
		}
		call(t, s, 404, http.MethodDelete, path, "", as("org_admin")...)
		call(t, s, 404, http.MethodGet, "/api/v1/sessions/"+victims, "", as("victim")...)
		list("org_admin", "", members)
		log := call(t, s, 200, http.MethodGet, org+"/audit?action=session.deleted", "", as("org_admin")...).Body
		if strings.Count(log, `"action":"session.deleted"`) != 1 || !strings.Contains(log, `"target":"session:`) || strings.Contains(log, victims) {
			t.Errorf("the log has %s", log)
		}
		if a := call(t, s, 200, http.MethodGet, org+"/models", "", as("service")...); !strings.Contains(a.Body, `"id":"team"`) || !strings.Contains(a.Body, `"object":"list"`) {
			t.Errorf("got %s", a.Body)
		}
	})
}

func TestThePlatformInNumbersAndSettings(t *testing.T) {
	config := strings.Replace(fleet(t, "ok"), "identity:\n", "identity:\n  key_pepper: canary-pepper-of-sixteen\n", 1) + "log: {level: warn}\n"
	configured(t, config, func(t *testing.T, s *kit.Server, _ func() *kit.Server) {
		for _, who := range []string{"victim", "eve", "victim"} {
			if a := s.Chat(t, kit.Ask("up/mock-1", "hello"), as(who)...); a.Status != 200 {
				t.Fatalf("%d %s", a.Status, a.Body)
			}
		}
		newKey(t, s, "victim", "/api/v1/me/api-keys", `{"name":"k"}`)
		call(t, s, 200, http.MethodPatch, "/api/v1/platform/agents/two", `{"enabled":false}`, as("platform_admin")...)
		var got struct {
			Instance, Version string
			Uptime            *int64 `json:"uptime_seconds"`
			Running           int    `json:"requests_running"`
			Agents, Stored    map[string]int
			Hour              map[string]int `json:"last_hour"`
			Day               map[string]int `json:"last_day"`
			Most              int            `json:"counted_to"`
		}
		a := call(t, s, 200, http.MethodGet, "/api/v1/platform/stats", "", as("platform_auditor")...)
		if err := json.Unmarshal([]byte(a.Body), &got); err != nil {
			t.Fatal(err)
		}
		used := map[string]int{"requests": 3, "prompt_tokens": 33, "completion_tokens": 21}
		if got.Instance == "" || got.Version == "" || got.Uptime == nil || got.Running != 0 || got.Agents["disabled"] != 1 || got.Most < 1000 ||
			got.Stored["organizations"] != 2 || got.Stored["users"] != 4 || got.Stored["api_keys"] != 1 || got.Stored["sessions"] != 3 ||
			fmt.Sprint(got.Hour) != fmt.Sprint(used) || fmt.Sprint(got.Day) != fmt.Sprint(used) {
			t.Errorf("got %s", a.Body)
		}

		shown := call(t, s, 200, http.MethodGet, "/api/v1/platform/config", "", as("platform_auditor")...)
		for text, there := range map[string]bool{
			"canary": false, "token-of-": false, kit.Token: false, `"path":"identity.key_pepper","value":"••••`: true,
			`"path":"agents.up.openai.headers.X-Extra","value":"••••`: true, `"path":"agents.up.limits.concurrent","value":"7","origin":"`: true,
			`"path":"log.level","value":"warn","origin":"`: true, `agentapi.yaml:`: true, `"origin":"default"`: true, `"path":"server.addr"`: true, `"origin":"env AGENTAPI_PORT"`: true,
		} {
			if strings.Contains(shown.Body, text) != there {
				t.Errorf("%s is not %v in %s", text, there, shown.Body)
			}
		}
	})
}

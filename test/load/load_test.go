package main

import (
	"encoding/json"
	"fmt"
	"os/exec"
	"slices"
	"strings"
	"testing"
	"time"

	"agentapi/test/kit"
	"agentapi/test/postgres"
	"agentapi/test/redis"
)

func TestMain(m *testing.M) { kit.Main(m, postgres.Stop, redis.Stop) }

// The bench runs, every stream comes whole and in order, and numbers come out.
// What they are is judged by running it at full length.
func TestTheBenchRuns(t *testing.T) {
	if testing.Short() {
		t.Skip("left out in short mode")
	}
	cmd := exec.CommandContext(t.Context(), "go", "run", "./test/load", "-smoke")
	cmd.Dir = "../.."
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
}

// durable names a fresh database, and a Redis, to a server.
func durable(b *testing.B) []string {
	b.Helper()
	d := postgres.Shared(b).Fresh(b)
	env := []string{"DATABASE_URL=" + d.App, "DIRECT_URL=" + d.Owner, "REDIS_URL=" + redis.Shared(b), "AGENTAPI_IDENTITY__KEY_PEPPER=a-pepper-of-the-bench"}
	migrate := exec.Command(kit.Binary(b), "migrate", "up")
	migrate.Env = env
	if out, err := migrate.CombinedOutput(); err != nil {
		b.Fatalf("%v\n%s", err, out)
	}
	return env
}

// BenchmarkEverythingOn is the bench with one server more, on which all is on that can
// be: logins by OIDC, limits in Redis, budgets, the audit log, every turn in Postgres,
// all on the same processors. One iteration is the whole of it.
func BenchmarkEverythingOn(b *testing.B) {
	t := time.Duration(kit.Size(4, 1, 4)) * time.Second
	issuer := kit.NewIssuer(b)
	o := kit.Options{Config: fmt.Sprintf(`log: {format: json}
identity: {chain: [oidc, apikey]}
limits: {platform: {concurrent: 100000}, organization: {requests_per_day: 100000000}, user: {requests_per_minute: 10000000, tokens_per_minute: 1000000000}}
billing: {prices: {'*': {input: 1, output: 1}}}
agents:
  up: {driver: openai, models: [mock-1], openai: {base_url: "http://%s/v1", api_key: none}}
`, mockAddr), Env: append(durable(b), "OIDC_ISSUER="+issuer.URL)}
	s := kit.Start(b, o)
	for b.Loop() {
		run := &bench{ctx: b.Context(), rounds: 3, dur: t.String(), warm: "1s", streams: 1000, hold: "10s", others: []target{{
			Name: "everything", URL: chats(strings.TrimPrefix(s.URL, "http://")), PID: s.PID(), Model: "mock-1",
			Headers: bearer(issuer.Token(b, map[string]any{"exp": time.Now().Add(time.Hour).Unix()})),
		}}}
		err := run.run()
		run.stop()
		if err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkLimitsAndBudgets asks three servers in turns, which keep every turn in
// Postgres: one has limits of all kinds for all, in Redis, and one a budget besides. One iteration is the whole of it.
func BenchmarkLimitsAndBudgets(b *testing.B) {
	t := time.Duration(kit.Size(4, 1, 4)) * time.Second
	const each = "{requests_per_minute: 10000000, requests_per_day: 100000000, tokens_per_minute: 1000000000, tokens_per_day: 10000000000}"
	run := &bench{rounds: kit.Size(3, 3, 9), dur: t.String(), warm: "1s"}
	for name, more := range map[string]string{
		"plain":   "",
		"limits":  "limits: {platform: " + each + ", organization: " + each + ", user: " + each + "}\n",
		"budgets": "limits: {platform: " + each + ", organization: " + each + ", user: " + each + "}\nbilling: {prices: {'*': {input: 1, output: 1}}}\n",
	} {
		s := kit.Start(b, kit.Options{Config: fmt.Sprintf("agents: {up: {driver: openai, models: [mock-1], openai: {base_url: \"http://%s/v1\", api_key: none}}}\n", mockAddr) + more,
			Env: durable(b)})
		run.others = append(run.others, target{Name: name, URL: chats(strings.TrimPrefix(s.URL, "http://")), PID: s.PID(), Model: "mock-1", Headers: bearer(kit.Token)})
		if name != "budgets" {
			continue
		}
		var me struct {
			Org string `json:"org_id"`
		}
		a, err := s.Do(b.Context(), "GET", "/api/v1/me", "")
		if err == nil {
			err = json.Unmarshal([]byte(a.Body), &me)
		}
		if err == nil {
			a, err = s.Do(b.Context(), "POST", "/api/v1/orgs/"+me.Org+"/budgets", `{"period":"day","limit_micro":1000000000000}`)
		}
		if err != nil || a.Status != 201 {
			b.Fatalf("%d %s, %v", a.Status, a.Body, err)
		}
	}
	slices.SortFunc(run.others, func(x, y target) int { return strings.Compare(y.Name, x.Name) }) // what the ratio is to, first
	for b.Loop() {
		run.ctx = b.Context()
		err := run.beside()
		run.stop()
		if err != nil {
			b.Fatal(err)
		}
	}
}

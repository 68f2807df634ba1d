package main

import (
	"fmt"
	"os/exec"
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

// BenchmarkEverythingOn is the bench with one server more, on which all is on that can
// be: logins by OIDC, limits in Redis, budgets, the audit log, every turn in Postgres,
// all on the same processors. One iteration is the whole of it.
func BenchmarkEverythingOn(b *testing.B) {
	t := time.Duration(kit.Size(4, 1, 4)) * time.Second
	database := postgres.Shared(b).Fresh(b)
	issuer := kit.NewIssuer(b)
	o := kit.Options{Config: fmt.Sprintf(`log: {format: json}
identity: {chain: [oidc, apikey]}
limits: {platform: {concurrent: 100000}, organization: {requests_per_day: 100000000}, user: {requests_per_minute: 10000000, tokens_per_minute: 1000000000}}
billing: {prices: {'*': {input: 1, output: 1}}}
agents:
  up: {driver: openai, models: [mock-1], openai: {base_url: "http://%s/v1", api_key: none}}
`, mockAddr), Env: []string{
		"DATABASE_URL=" + database.App, "DIRECT_URL=" + database.Owner, "REDIS_URL=" + redis.Shared(b),
		"OIDC_ISSUER=" + issuer.URL, "AGENTAPI_IDENTITY__KEY_PEPPER=a-pepper-of-the-bench",
	}}
	migrate := exec.Command(kit.Binary(b), "migrate", "up")
	migrate.Env = o.Env
	if out, err := migrate.CombinedOutput(); err != nil {
		b.Fatalf("%v\n%s", err, out)
	}
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

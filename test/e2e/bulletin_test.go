package e2e

import (
	"fmt"
	"net/http"
	"testing"
	"time"

	"agentapi/test/kit"
	"agentapi/test/redis"
)

// soonElsewhere waits until another server feels a change that was answered just now.
func soonElsewhere(t *testing.T, what string, felt func() bool) {
	t.Helper()
	done := time.Now()
	ok := kit.Soon(3*time.Second, felt)
	if took := time.Since(done); !ok || took > time.Second {
		t.Errorf("%s: felt elsewhere after %v: %v", what, took, ok)
	} else {
		t.Logf("%s: felt elsewhere after %v", what, took.Round(time.Millisecond))
	}
}

func TestASwitchIsFeltOnOtherServersWithinASecond(t *testing.T) {
	up := kit.NewUpstream(t, "500")
	servers := limited(t, 2, redis.Shared(t), fmt.Sprintf(`agents:
  up: {driver: openai, models: [mock-1], breaker: {failures: 2, open: 1h}, openai: {base_url: %q}}
  two: {driver: demo, models: [echo]}
`, up.URL))
	turn := func(method, path, body string) {
		t.Helper()
		call(t, servers[0], 200, method, "/api/v1/platform/agents/"+path, body, as("platform_admin")...)
	}
	answers := func(status int) func() bool {
		return func() bool { return servers[1].Chat(t, kit.Ask("two/echo", "hello"), as("victim")...).Status == status }
	}
	if !answers(200)() {
		t.Fatal("the other server does not answer at first")
	}
	turn(http.MethodPatch, "two", `{"enabled":false}`)
	soonElsewhere(t, "taken out of service", answers(503))
	turn(http.MethodPatch, "two", `{"enabled":true}`)
	soonElsewhere(t, "brought back", answers(200))
	turn(http.MethodPost, "two/drain", `{}`)
	soonElsewhere(t, "drained", answers(503))
	turn(http.MethodPost, "two/resume", `{}`)
	soonElsewhere(t, "resumed", answers(200))

	asked := func() bool {
		before := up.Requests()
		servers[1].Chat(t, kit.Ask("up/mock-1", "hello"), as("victim")...)
		return up.Requests() > before
	}
	if !kit.Soon(10*time.Second, func() bool { return !asked() }) {
		t.Fatal("the breaker does not open")
	}
	turn(http.MethodPost, "up/reset", `{}`)
	soonElsewhere(t, "reset", asked)
}

func TestAFirstBudgetBindsOnOtherServersWithinASecond(t *testing.T) {
	servers := limited(t, 2, redis.Shared(t), priced)
	spends := func(status int) func() bool {
		return func() bool { return servers[1].Chat(t, bounded("one two"), as("victim")...).Status == status }
	}
	if !spends(200)() {
		t.Fatal("the other server does not answer at first")
	}
	path := fund(t, servers[0], `{"period":"day","limit_micro":1}`)
	soonElsewhere(t, "the first budget", spends(429))
	call(t, servers[0], 200, http.MethodPatch, path, `{"limit_micro":1000000000}`, as("org_admin")...)
	soonElsewhere(t, "a wider budget", spends(200))
}

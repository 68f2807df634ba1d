package e2e

import (
	"bufio"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"regexp"
	"strings"
	"testing"
	"time"

	"agentapi/test/kit"
	"agentapi/test/redis"
)

// monitored gives what a Redis is asked for by its clients, without what scripts do.
func monitored(t *testing.T, address string) <-chan string {
	t.Helper()
	at, err := url.Parse(address)
	if err != nil {
		t.Fatal(err)
	}
	conn, err := net.Dial("tcp", at.Host)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	if _, err := conn.Write([]byte("MONITOR\r\n")); err != nil {
		t.Fatal(err)
	}
	lines := bufio.NewScanner(conn)
	lines.Buffer(nil, 1<<20)
	if !lines.Scan() || lines.Text() != "+OK" {
		t.Fatalf("it says %q, %v", lines.Text(), lines.Err())
	}
	out := make(chan string, 10_000)
	go func() {
		defer close(out)
		for lines.Scan() {
			if text := lines.Text(); !strings.Contains(text, " lua]") {
				out <- text
			}
		}
	}()
	return out
}

// However many limits and budgets hold, a request asks Redis once before its agent is
// asked, and once when it has ended, beside the commit of its answer.
func TestLimitsAndBudgetsTakeOneRoundTripBeforeAnAgentIsAsked(t *testing.T) {
	const requests = 20
	address := redis.Shared(t)
	every := "{requests_per_minute: 6000, requests_per_day: 60000, tokens_per_minute: 6000000, tokens_per_day: 60000000, concurrent: 100}"
	s := limited(t, 1, address, priced+fmt.Sprintf("limits: {platform: %[1]s, organization: %[1]s, user: %[1]s, models: {demo/echo: %[1]s}}\n", every))[0]
	fund(t, s, `{"period":"day","limit_micro":1000000000}`)
	ask := func() { s.Chat(t, kit.Ask("demo/echo", "one two"), as("org_member")...) }
	ask() // until the scripts are known
	ask()
	said := monitored(t, address)
	for range requests {
		ask()
	}
	scripts, others := make(map[string]int), []string(nil)
	call := regexp.MustCompile(`"EVALSHA" "([0-9a-f]+)"`)
	for deadline := time.After(2 * time.Second); ; {
		select {
		case line := <-said:
			if !strings.Contains(line, "e2e-"+t.Name()) || strings.Contains(line, "{bulletin}") || strings.Contains(line, `:probe"`) {
				continue // another's, or what servers tell each other and ask once in a while
			}
			if m := call.FindStringSubmatch(line); m != nil {
				scripts[m[1]]++
			} else {
				others = append(others, line)
			}
			continue
		case <-deadline:
		}
		break
	}
	if len(scripts) != 1 || len(others) > 0 {
		t.Errorf("besides %v there was %v", scripts, others)
	}
	for sha, n := range scripts {
		if n != 2*requests {
			t.Errorf("the script %s ran %d times for %d requests, before and after each", sha, n, requests)
		}
	}
}

// Servers that share a Redis share the places of agents' programs; requests to agents
// without one take none.
func TestProgramsOfAgentsAreLimitedOnAllServersTogether(t *testing.T) {
	agents := fmt.Sprintf("agents:\n  demo: {driver: demo}\n  fake: {driver: exec, models: [m], exec: {command: [%q]}}\n", kit.FakeAgent(t))
	servers := limited(t, 2, redis.Shared(t), agents+"limits: {organization: {processes: 1}}\n")
	if admitted, refused := atOnce(t, servers, 12, "victim", "fake/m"); admitted == 0 || refused == 0 {
		t.Errorf("%d are admitted at once and %d refused", admitted, refused)
	}
	if admitted, _ := atOnce(t, servers, 12, "victim", "demo/echo"); admitted != 12 {
		t.Errorf("of those that run no program %d of 12 are admitted", admitted)
	}
	for _, s := range servers { // each place is free when its answer is there
		s.Chat(t, kit.Ask("fake/m", "hello"), as("victim")...)
	}
}

// Whom a limit refuses nothing is begun for, so that no money is set aside.
func TestWhatALimitRefusesSetsNothingAside(t *testing.T) {
	s := kit.Start(t, kit.Options{Config: staff + priced + "limits: {user: {requests_per_day: 1}}\n"})
	path := fund(t, s, `{"period":"total","limit_micro":1000000000}`)
	ask := func(status int, key string) {
		t.Helper()
		a, err := s.Do(t.Context(), http.MethodPost, "/v1/chat/completions", kit.Ask("demo/echo", "hello"), append(as("victim"), "Idempotency-Key", key)...)
		if err != nil || a.Status != status {
			t.Errorf("%s: %d %s, %v", key, a.Status, a.Body, err)
		}
	}
	ask(200, "first")
	spent := budgetOf(t, s, path)["spent_micro"]
	for _, key := range []string{"second", "third", "second"} {
		ask(429, key)
	}
	if b := budgetOf(t, s, path); b["reserved_micro"] != 0.0 || b["spent_micro"] != spent {
		t.Errorf("it is %v after %v", b, spent)
	}
	whole, _, _ := strings.Cut(path, "/budgets")
	if log := call(t, s, 200, http.MethodGet, whole+"/audit?action=chat.started", "", as("org_auditor")...); strings.Count(log.Body, `"chat.started"`) != 1 {
		t.Errorf("more than one was begun: %s", log.Body)
	}
}

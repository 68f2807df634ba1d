package e2e

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"agentapi/test/kit"
	"agentapi/test/postgres"
)

// priced are the prices of the tests: a token of the prompt or the answer costs one whole.
const priced = "billing: {answer: 8, hold: 3s, prices: {'demo/*': {input: 1000000, output: 1000000}}}\n"

// fund makes a budget and gives its path.
func fund(t *testing.T, s *kit.Server, body string) string {
	t.Helper()
	me := object(t, call(t, s, 200, http.MethodGet, "/api/v1/me", "", as("org_admin")...))
	made := object(t, call(t, s, 201, http.MethodPost, "/api/v1/orgs/"+fmt.Sprint(me["org_id"])+"/budgets", body, as("org_admin")...))
	return "/api/v1/orgs/" + fmt.Sprint(me["org_id"]) + "/budgets/" + fmt.Sprint(made["id"])
}

// booked is what the organisation's usage cost, as it is reported.
func booked(t *testing.T, s *kit.Server) (sum float64) {
	t.Helper()
	me := object(t, call(t, s, 200, http.MethodGet, "/api/v1/me", "", as("org_admin")...))
	for _, row := range object(t, call(t, s, 200, http.MethodGet, "/api/v1/orgs/"+fmt.Sprint(me["org_id"])+"/usage", "", as("org_admin")...))["data"].([]any) {
		sum += row.(map[string]any)["cost_micro"].(float64)
	}
	return sum
}

func budgetOf(t *testing.T, s *kit.Server, path string) map[string]any {
	t.Helper()
	return object(t, call(t, s, 200, http.MethodGet, path, "", as("org_admin")...))
}

// bounded asks for an answer that costs no more than what is set aside for it.
func bounded(text string) string {
	return strings.Replace(kit.Ask("demo/echo", text), "{", `{"max_tokens":8,`, 1)
}

func TestABudgetIsSpentAndSaysSo(t *testing.T) {
	s := kit.Start(t, kit.Options{Config: staff + priced})
	a := object(t, s.Chat(t, bounded("one two"), as("victim")...))
	used := a["usage"].(map[string]any)
	cost := used["total_tokens"].(float64)
	path := fund(t, s, `{"period":"day","limit_micro":1000000}`)
	if b := budgetOf(t, s, path); b["spent_micro"] != cost || booked(t, s) != cost {
		t.Fatalf("%v was used: %v, %v", cost, b, booked(t, s))
	}
	call(t, s, 409, http.MethodPost, strings.TrimSuffix(path, path[strings.LastIndex(path, "/"):]), `{"period":"day","limit_micro":5}`, as("org_admin")...)
	call(t, s, 403, http.MethodPatch, path, `{"limit_micro":1}`, as("victim")...)
	call(t, s, 200, http.MethodPatch, path, fmt.Sprintf(`{"limit_micro":%v}`, cost), as("org_admin")...)
	for _, body := range []string{bounded("one two"), strings.Replace(bounded("one two"), "{", `{"stream":true,`, 1)} {
		for _, headers := range [][]string{nil, {"Idempotency-Key", "k"}} {
			a, err := s.Do(t.Context(), http.MethodPost, "/v1/chat/completions", body, append(as("victim"), headers...)...)
			if err != nil {
				t.Fatal(err)
			}
			var out struct {
				Error struct{ Type, Code, Message string }
			}
			if err := json.Unmarshal([]byte(a.Body), &out); err != nil || a.Status != 429 || out.Error.Type != "insufficient_quota" || out.Error.Code != "insufficient_quota" ||
				!strings.Contains(out.Error.Message, path[strings.LastIndex(path, "/")+1:]) || a.Header.Get("X-Should-Retry") != "false" || a.Header.Get("Retry-After") != "" {
				t.Errorf("a spent budget: %d %v %s", a.Status, a.Header, a.Body)
			}
		}
	}
	s.Chat(t, bounded("one two"), as("eve")...) // of another organisation
	call(t, s, 200, http.MethodPatch, path, `{"limit_micro":1000000}`, as("org_admin")...)
	first := s.Chat(t, bounded("one two"), append(as("victim"), "Idempotency-Key", "k")...)
	again := s.Chat(t, bounded("one two"), append(as("victim"), "Idempotency-Key", "k")...)
	if first.Body != again.Body {
		t.Errorf("the repetition is %s", again.Body)
	}
	if b := budgetOf(t, s, path); b["spent_micro"] != 2*cost || b["reserved_micro"] != 0.0 || booked(t, s) != 2*cost {
		t.Errorf("then it is %v, and %v booked", b, booked(t, s))
	}
	call(t, s, 400, http.MethodPost, "/v1/chat/completions", strings.Replace(bounded("x"), "demo/echo", "demo/echo\",\"top_p\":\"no", 1), as("victim")...)
	call(t, s, 404, http.MethodPost, "/v1/chat/completions", strings.Replace(bounded("x"), "demo/echo", "demo/none", 1), as("victim")...)
	if b := budgetOf(t, s, path); b["reserved_micro"] != 0.0 {
		t.Errorf("what could not run holds %v", b)
	}
	costs := call(t, s, 200, http.MethodGet, fmt.Sprintf("/v1/organization/costs?start_time=%d&group_by[]=line_item", time.Now().Add(-time.Hour).Unix()), "", as("org_admin")...)
	if !strings.Contains(costs.Body, fmt.Sprintf(`"amount":{"value":0.%06d,"currency":"usd"},"line_item":"echo"`, int(2*cost))) {
		t.Errorf("the costs are %s", costs.Body)
	}
	call(t, s, 200, http.MethodDelete, path, "", as("org_admin")...)
	call(t, s, 404, http.MethodGet, path, "", as("org_admin")...)
}

// On three servers that share a database, no more requests run than a budget has room
// for, whichever of them dies when; and what was spent is what was booked.
func TestABudgetHoldsOnThreeServersThatAreKilled(t *testing.T) {
	_, env := migrated(t, postgres.Shared(t))
	dirs := make([]kit.Options, 3)
	servers := make([]*kit.Server, 3)
	for i := range servers {
		dirs[i] = kit.Options{Config: staff + priced, Dir: t.TempDir(), Port: kit.FreePort(t), Env: append(env, "AGENTAPI_STORAGE__POSTGRES__LEASE=3s", "AGENTAPI_STORAGE__POSTGRES__TIMEOUT=10s", "AGENTAPI_IDENTITY__KEY_PEPPER=a-pepper-of-the-tests")}
		servers[i] = kit.Start(t, dirs[i])
	}
	one := object(t, servers[0].Chat(t, bounded("one two"), as("victim")...))["usage"].(map[string]any)["total_tokens"].(float64)
	path := fund(t, servers[0], fmt.Sprintf(`{"period":"month","limit_micro":%v}`, one))
	time.Sleep(6 * time.Second) // until every server knows that there is a first budget
	spent := func() float64 { return budgetOf(t, servers[0], path)["spent_micro"].(float64) }
	if spent() != one {
		t.Fatalf("one request is %v, not %v", spent(), one)
	}
	prompt := object(t, servers[0].Chat(t, bounded("one two"), as("eve")...))["usage"].(map[string]any)["prompt_tokens"].(float64)
	need := prompt + 8
	// Room for ten: what each has set aside at most.
	call(t, servers[0], 200, http.MethodPatch, path, fmt.Sprintf(`{"limit_micro":%v}`, one+10*need), as("org_admin")...)
	var admitted, refused atomic.Int32
	ask := func(ctx context.Context, s *kit.Server, text string) {
		a, err := s.Do(ctx, http.MethodPost, "/v1/chat/completions", text, as("victim")...)
		switch {
		case err == nil && a.Status == 200:
			admitted.Add(1)
		case err == nil && a.Status == 429 && strings.Contains(a.Body, "insufficient_quota"):
			refused.Add(1)
		case err == nil && a.Status != 503:
			t.Errorf("%d %s", a.Status, a.Body)
		}
	}
	slow := strings.Replace(bounded("one two"), "demo/echo", "demo/slow", 1)
	var all sync.WaitGroup
	for i := range 200 {
		all.Go(func() { ask(t.Context(), servers[i%3], slow) })
	}
	all.Wait()
	b := budgetOf(t, servers[0], path)
	if n := admitted.Load(); n < 1 || n > 10 || n+refused.Load() != 200 {
		t.Errorf("%d of 200 are admitted, %d refused: %v", n, refused.Load(), b)
	}
	if b["spent_micro"] != booked(t, servers[1]) || b["reserved_micro"] != 0.0 || b["spent_micro"].(float64) > b["limit_micro"].(float64) {
		t.Errorf("it is %v, and %v booked", b, booked(t, servers[1]))
	}
	t.Logf("%d admitted, %d refused at one instant", admitted.Load(), refused.Load())
	// Servers die while requests run.
	call(t, servers[0], 200, http.MethodPatch, path, `{"limit_micro":100000000}`, as("org_admin")...)
	for round := range kit.Size(3, 4, 40) {
		at := round%2 + 1
		for i := range 30 {
			all.Go(func() { ask(t.Context(), servers[i%3], slow) })
		}
		time.Sleep(time.Duration(7*(round+1)%60) * time.Millisecond)
		servers[at].Kill()
		all.Wait()
		servers[at] = kit.Start(t, dirs[at])
	}
	if !kit.Soon(10*time.Second, func() bool { return budgetOf(t, servers[0], path)["reserved_micro"] == 0.0 }) {
		t.Errorf("after its time something is set aside still: %v", budgetOf(t, servers[0], path))
	}
	if got := booked(t, servers[0]); got != spent() {
		t.Errorf("%v was spent, and %v booked", spent(), got)
	}
}

func TestBudgetsFromATerminal(t *testing.T) {
	s := kit.Start(t, kit.Options{Config: staff + priced})
	run := func(code int, args ...string) string {
		t.Helper()
		out, got := agentapi(t, []string{"AGENTAPI_URL=" + s.URL, "AGENTAPI_TOKEN=token-of-org_admin"}, append([]string{"budgets"}, args...)...)
		if got != code {
			t.Fatalf("%v: exit code %d:\n%s", args, got, out)
		}
		return out
	}
	made := run(0, "create", "20.5", "--period", "day")
	id := strings.Fields(made)[0]
	if !strings.Contains(made, "of the organisation: 20.500000 (day), 20.500000 left") {
		t.Errorf("made: %s", made)
	}
	run(0, "set", id, "0.000001")
	if out := run(0, "list"); !strings.Contains(out, id) || !strings.Contains(out, "0.000001") {
		t.Errorf("listed: %s", out)
	}
	if out := run(0, "list", "--json"); !strings.Contains(out, `"limit_micro":1`) {
		t.Errorf("as JSON: %s", out)
	}
	for _, amount := range []string{"much", "1.0000001", "1.x", "99999999999999"} {
		run(2, "create", amount)
	}
	run(1, "create", "1", "--period", "day") // there is one
	run(0, "remove", id)
	run(1, "remove", id)
}

// A client that leaves pays for what was observed until then, and what was set aside
// for the rest is free again.
func TestAnInterruptedAnswerIsChargedForWhatWasObserved(t *testing.T) {
	s := kit.Start(t, kit.Options{Config: staff + priced})
	path := fund(t, s, `{"period":"total","limit_micro":1000000000}`)
	ctx, leave := context.WithCancel(t.Context())
	resp, err := s.Open(ctx, http.MethodPost, "/v1/chat/completions", kit.AskStream("demo/slow", strings.Repeat("word ", 50)), as("victim")...)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := resp.Body.Read(make([]byte, 1)); err != nil {
		t.Fatal(err)
	}
	if b := budgetOf(t, s, path); b["reserved_micro"].(float64) < 8 {
		t.Errorf("while it runs it is %v", b)
	}
	leave()
	resp.Body.Close()
	if !kit.Soon(10*time.Second, func() bool { return budgetOf(t, s, path)["reserved_micro"] == 0.0 }) {
		t.Errorf("it holds what it does not use: %v", budgetOf(t, s, path))
	}
	if b := budgetOf(t, s, path); b["spent_micro"].(float64) <= 0 || b["spent_micro"] != booked(t, s) {
		t.Errorf("it is %v, and %v booked", b, booked(t, s))
	}
}

func TestAnAnswerEndsWithLengthWhereNoMoreWasSetAside(t *testing.T) {
	s := kit.Start(t, kit.Options{Config: staff + priced})
	long := strings.Repeat("word ", 200)
	whole := s.Chat(t, kit.Ask("demo/echo", long), as("victim")...)
	if !strings.Contains(whole.Body, `"finish_reason":"stop"`) {
		t.Fatalf("without a budget it is %s", whole.Body)
	}
	path := fund(t, s, `{"period":"total","limit_micro":1000000000}`)
	before := budgetOf(t, s, path)["spent_micro"].(float64)
	for _, body := range []string{kit.Ask("demo/echo", long), kit.AskStream("demo/echo", long)} {
		a := s.Chat(t, body, as("victim")...)
		if !strings.Contains(a.Body, `"finish_reason":"length"`) || strings.Count(a.Body, "word") > 100 {
			t.Errorf("an answer of 200 words where less was set aside: %s", a.Body)
		}
	}
	if b := budgetOf(t, s, path); b["reserved_micro"] != 0.0 || b["spent_micro"] != booked(t, s) || b["spent_micro"].(float64) <= before {
		t.Errorf("then it is %v, and %v booked", b, booked(t, s))
	}
}

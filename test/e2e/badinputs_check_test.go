package e2e

import (
	"database/sql"
	"encoding/json"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	_ "modernc.org/sqlite"

	"agentapi/test/kit"
)

var requestID = regexp.MustCompile(`^req_[0-9a-f]{32}$`)

// check throws one case and holds the answer to what the corpus expects.
func (p *pit) check(t *testing.T, b *badInput) {
	programs, memory, touched := len(p.started(t)), p.Memory(t), p.touched.Load()
	fetches := p.mint.fetches.Load()
	undo := p.prepare(t, b)
	o := p.throw(t, b)
	if b.Token != nil {
		for range b.Token.Repeat - 1 {
			p.throw(t, b)
		}
	}
	undo()
	if n := p.mint.fetches.Load() - fetches; n > 2 && b.has("jwks_fetches<=2") {
		t.Errorf("the keys were asked for %d times", n)
	}
	if o.status == 0 {
		if !b.has("or_connection_closed") {
			t.Fatal("the connection was closed without an answer")
		}
	} else {
		b.answer(t, o)
	}
	for _, also := range b.Expect.Also {
		p.also(t, b, o, also)
	}
	if b.Expect.StatusClass != "2xx" && o.status >= 400 && len(p.started(t)) != programs {
		t.Error("a program was started for a request that was refused")
	}
	if p.touched.Load() != touched {
		t.Error("the server connected to the canary")
	}
	if grown := p.Memory(t) - memory; b.has("rss_growth<64MiB") && grown > 64<<20 {
		t.Errorf("the server grew by %d MiB", grown>>20)
	}
	for _, token := range p.secrets() {
		if strings.Contains(o.body, token) {
			t.Errorf("the answer has a token: %s", o.body)
		}
	}
}

// secrets are what no answer and no line of the log may have.
func (p *pit) secrets() []string { return []string{userA, userB, adminA, root, p.revoked, kit.Token} }

// answer holds status, envelope, type, code and param.
func (b *badInput) answer(t *testing.T, o outcome) {
	t.Helper()
	want, code := b.Expect.Status, b.Expect.Code
	d, deviates := deviations[b.ID]
	if deviates {
		want, code = []int{d.status}, d.code
	}
	if status, absent := b.absent(); status != 0 && slices.Contains(mayBeAbsent, b.ID) {
		want, code = []int{status}, absent
	}
	if !slices.Contains(want, o.status) {
		t.Fatalf("got %d %s, want %v", o.status, o.body, want)
	}
	if id := o.header.Get("X-Request-Id"); !requestID.MatchString(id) {
		t.Errorf("x-request-id is %q", id)
	}
	if o.status < 400 {
		return
	}
	var envelope struct {
		Error map[string]any
	}
	if err := json.Unmarshal([]byte(o.body), &envelope); err != nil {
		t.Fatalf("the body is no error: %s", o.body)
	}
	e := envelope.Error
	for _, key := range []string{"message", "type", "param", "code"} {
		if v, there := e[key]; !there {
			t.Errorf("%s is missing: %s", key, o.body)
		} else if _, text := v.(string); !text && (v != nil || key == "message" || key == "type") {
			t.Errorf("%s is %v", key, v)
		}
	}
	text := func(key string) string { s, _ := e[key].(string); return s }
	if text("message") == "" || b.Expect.Type != "" && text("type") != b.Expect.Type {
		t.Errorf("the error is %v", e)
	}
	if b.Expect.Param != "" && text("param") != b.Expect.Param {
		t.Errorf("param is %q, want %q", text("param"), b.Expect.Param)
	}
	switch code {
	case "invalid_token":
		code = "invalid_api_key" // OpenAI's word for a credential that is not good
	case "permission_denied":
		code = "insufficient_permissions"
	}
	if (deviates || code != "" && o.status == want[0]) && text("code") != code {
		t.Errorf("code is %q, want %q: %s", text("code"), code, text("message"))
	}
}

// elsewhereChecked are assertions that are held in other places of this suite for
// all cases, or need parts that this server has not.
var elsewhereChecked = []string{
	"or_connection_closed", "harness:send_1_byte_per_s", "harness:shutdown_write", "no_outbound_connection", "no_process_spawned",
	"rss_growth<64MiB", "logs_lack:{TOKEN}", "one_log_line_per_event", "no_panic", "usage_booked_to:user_a",
	"jwks_fetches<=2", "body_lacks_any_configured_secret",
	"quota_not_increased", // there are no quotas; finish looks for negative usage
}

// also holds one of the further assertions.
func (p *pit) also(t *testing.T, b *badInput, o outcome, also string) {
	t.Helper()
	kind, arg, _ := strings.Cut(also, ":")
	switch {
	case slices.Contains(elsewhereChecked, also):
	case kind == "header":
		p.header(t, o.header, arg)
	case kind == "header_absent":
		if got := o.header.Get(arg); got != "" {
			t.Errorf("%s is %q", arg, got)
		}
	case kind == "body_lacks":
		if strings.Contains(o.body, p.places.Replace(arg)) {
			t.Errorf("the answer has %s", arg)
		}
	case strings.HasPrefix(also, "answer_within_"):
		limit, err := time.ParseDuration(strings.TrimPrefix(also, "answer_within_"))
		if err != nil {
			t.Fatal(err)
		}
		if o.took > limit+time.Second {
			t.Errorf("it took %v", o.took)
		}
	case also == "connection_closed":
		if o.open {
			t.Error("the connection is still open")
		}
	case also == "no_100_continue":
		if o.asked {
			t.Error("the server asked for the body")
		}
	case also == "not_101":
		if o.status == http.StatusSwitchingProtocols {
			t.Error("the server switched protocols")
		}
	case also == "fake_agent_saw_prompt_verbatim_on_stdin", also == "argv_lacks_prompt":
		p.verbatim(t, b, o)
	case kind == "no_file":
		if _, err := os.Stat(arg); err == nil {
			t.Errorf("%s is there", arg)
		}
	default:
		t.Errorf("nothing checks %q", also)
	}
}

func (p *pit) header(t *testing.T, h http.Header, arg string) {
	t.Helper()
	if name, pattern, ok := strings.Cut(arg, "~"); ok {
		if !regexp.MustCompile(pattern).MatchString(h.Get(name)) {
			t.Errorf("%s is %q, want %s", name, h.Get(name), pattern)
		}
	} else if name, want, ok := strings.Cut(arg, "="); ok {
		if h.Get(name) != want {
			t.Errorf("%s is %q, want %q", name, h.Get(name), want)
		}
	} else if h.Get(arg) == "" {
		t.Errorf("%s is missing", arg)
	}
}

// verbatim: the prompt came back as it was sent, and where a program answered it
// came to it on stdin and stood nowhere else.
func (p *pit) verbatim(t *testing.T, b *badInput, o outcome) {
	t.Helper()
	var sent struct{ Messages []struct{ Content string } }
	var got struct {
		Choices []struct{ Message struct{ Content string } }
	}
	if err := json.Unmarshal([]byte(*b.Body), &sent); err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal([]byte(o.body), &got); err != nil || len(got.Choices) != 1 {
		t.Fatalf("got %s", o.body)
	}
	prompt := sent.Messages[0].Content
	if got.Choices[0].Message.Content != prompt {
		t.Errorf("got %q, want %q", got.Choices[0].Message.Content, prompt)
	}
	if o.header.Get("X-Agentapi-Agent") != "fake" {
		return
	}
	all := p.started(t)
	last := all[len(all)-1]
	if last.Prompt != prompt {
		t.Errorf("the program saw %q", last.Prompt)
	}
	if len(last.Argv) != 1 || slices.ContainsFunc(last.Env, func(e string) bool { return strings.Contains(e, prompt) }) {
		t.Errorf("the program was started as %q with %q", last.Argv, last.Env)
	}
}

// finish ends the server and looks at what the whole corpus left behind.
func (p *pit) finish(t *testing.T) {
	if a, err := p.Do(t.Context(), http.MethodGet, "/readyz", ""); err != nil || a.Status != http.StatusOK {
		t.Errorf("the server is not ready after all that: %d, %v", a.Status, err)
	}
	if code, err := p.Stop(10 * time.Second); err != nil || code != 0 {
		t.Errorf("the server ended with %d, %v", code, err)
	}
	logs := p.Logs.String()
	for _, token := range p.secrets() {
		if strings.Contains(logs, token) {
			t.Error("the log has a token")
		}
	}
	if strings.Contains(logs, "panic") {
		t.Error("something panicked")
	}
	for line := range strings.Lines(logs) {
		var entry struct{ Level, Msg string }
		if err := json.Unmarshal([]byte(line), &entry); err != nil || entry.Level == "" || entry.Msg == "" {
			t.Errorf("a log line is %q", line)
		}
	}
	db, err := sql.Open("sqlite", "file:"+filepath.Join(p.Dir, "agentapi.db")+"?mode=ro")
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	var orgs, users, odd int
	if err := db.QueryRow("SELECT count(DISTINCT org_id), count(DISTINCT user_id), count(*) FILTER (WHERE prompt_tokens < 0 OR completion_tokens < 0) FROM usage").Scan(&orgs, &users, &odd); err != nil {
		t.Fatal(err)
	}
	if orgs != 2 || users != 2 || odd != 0 {
		t.Errorf("usage is booked to %d organisations and %d users, want user_a and user_b, each in their own; %d rows are negative", orgs, users, odd)
	}
}

package e2e

import (
	"bytes"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	collector "go.opentelemetry.io/proto/otlp/collector/trace/v1"
	trace "go.opentelemetry.io/proto/otlp/trace/v1"
	"google.golang.org/protobuf/proto"

	"agentapi/test/kit"
)

// collecting is a collector of traces.
type collecting struct {
	url   string
	mu    sync.Mutex
	spans []*trace.Span
}

func newCollector(t *testing.T) *collecting {
	t.Helper()
	c := &collecting{}
	s := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		text, err := io.ReadAll(r.Body)
		var in collector.ExportTraceServiceRequest
		if err == nil {
			err = proto.Unmarshal(text, &in)
		}
		if err != nil || r.URL.Path != "/v1/traces" {
			t.Errorf("%s: %v", r.URL.Path, err)
		}
		c.mu.Lock()
		defer c.mu.Unlock()
		for _, of := range in.GetResourceSpans() {
			for _, scope := range of.GetScopeSpans() {
				c.spans = append(c.spans, scope.GetSpans()...)
			}
		}
	}))
	t.Cleanup(s.Close)
	c.url = s.URL
	return c
}

// of gives the spans of a trace by their names.
func (c *collecting) of(id string) map[string]*trace.Span {
	c.mu.Lock()
	defer c.mu.Unlock()
	out := make(map[string]*trace.Span)
	for _, s := range c.spans {
		if fmt.Sprintf("%x", s.GetTraceId()) == id {
			out[s.GetName()] = s
		}
	}
	return out
}

func attributes(s *trace.Span) map[string]string {
	out := make(map[string]string)
	for _, a := range s.GetAttributes() {
		text := a.GetValue().String()
		_, text, _ = strings.Cut(text, ":")
		out[a.GetKey()] = strings.Trim(strings.TrimSpace(text), `"`)
	}
	return out
}

func TestARequestIsOneTraceFromItsClientToTheUpstream(t *testing.T) {
	t.Parallel()
	c := newCollector(t)
	var (
		mu   sync.Mutex
		sent []string
	)
	inner := kit.NewUpstream(t, "ok")
	up := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		mu.Lock()
		sent = append(sent, r.Header.Get("Traceparent"))
		mu.Unlock()
		inner.ServeHTTP(w, r)
	}))
	t.Cleanup(up.Close)
	s := kit.Start(t, kit.Options{
		Config: staff + logged + fmt.Sprintf("agents: {up: {driver: openai, models: [m], openai: {base_url: '%s/v1'}}}\n", up.URL),
		Env:    []string{"OTEL_EXPORTER_OTLP_ENDPOINT=" + c.url},
	})
	const id, parent, unsampled = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331", "1af7651916cd43dd8448eb211c80319c"
	who := as("victim")
	for _, ask := range []string{kit.AskStream("up/m", "canary-of-a-prompt"), kit.Ask("up/m", "canary-of-a-prompt")} {
		if a := s.Chat(t, ask, append(who, "Traceparent", "00-"+id+"-"+parent+"-01")...); a.Status != 200 {
			t.Fatalf("%d %s", a.Status, a.Body)
		}
	}
	if a := s.Chat(t, kit.Ask("up/m", "hello"), append(who, "Traceparent", "00-"+unsampled+"-"+parent+"-00")...); a.Status != 200 {
		t.Fatalf("%d %s", a.Status, a.Body)
	}
	if a := s.Chat(t, kit.Ask("up/m", "hello"), append(who, "Traceparent", "garbage")...); a.Status != 200 {
		t.Fatalf("%d %s", a.Status, a.Body)
	}
	if _, err := s.Stop(20 * time.Second); err != nil { // which sends the last spans, and writes the log
		t.Fatal(err)
	}
	got := c.of(id)
	root, call, write := got["POST /v1/chat/completions"], got["chat m"], got["sqlite write"]
	if root == nil || call == nil || write == nil || got["sqlite read"] == nil {
		t.Fatalf("the trace is %v", got)
	}
	host, port, err := net.SplitHostPort(up.Listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	if fmt.Sprintf("%x", root.GetParentSpanId()) != parent || !bytes.Equal(call.GetParentSpanId(), root.GetSpanId()) || root.GetKind() != trace.Span_SPAN_KIND_SERVER || call.GetKind() != trace.Span_SPAN_KIND_CLIENT {
		t.Errorf("they hang together wrongly: %v, %v", root, call)
	}
	for name, want := range map[string]string{
		"gen_ai.operation.name": "chat", "gen_ai.provider.name": "openai", "gen_ai.agent.name": "up", "gen_ai.request.model": "m",
		"server.address": host, "server.port": port,
		"gen_ai.usage.input_tokens": "11", "gen_ai.usage.output_tokens": "7", "gen_ai.usage.cache_read.input_tokens": "3",
	} {
		if got := attributes(call)[name]; got != want {
			t.Errorf("%s is %q, want %q", name, got, want)
		}
	}
	if a := attributes(root); a["http.response.status_code"] != "200" || a["http.route"] != "/v1/chat/completions" {
		t.Errorf("the request's span says %v", a)
	}
	if len(c.of(unsampled)) != 0 {
		t.Errorf("kept, though the client did not want it: %v", c.of(unsampled))
	}
	mu.Lock()
	defer mu.Unlock()
	passed := 0
	for _, header := range sent {
		if strings.HasPrefix(header, "00-"+id+"-") && !strings.Contains(header, parent) && strings.HasSuffix(header, "-01") {
			passed++
		}
	}
	if passed != 2 {
		t.Errorf("upstreams were told %v", sent)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, span := range c.spans {
		if strings.Contains(span.String(), "canary") {
			t.Errorf("a span says what was said: %v", span)
		}
	}
	if lines := s.Logs.String(); !strings.Contains(lines, `"trace_id":"`+id+`","span_id":"`) {
		t.Errorf("the log does not name the trace:\n%s", lines)
	}
}

func TestACollectorThatIsAwayCostsNothing(t *testing.T) {
	t.Parallel()
	s := kit.Start(t, kit.Options{Config: staff + "storage: {driver: memory}\n", Env: []string{"OTEL_EXPORTER_OTLP_ENDPOINT=" + strings.TrimSuffix(kit.Dead(t), "/v1")}})
	began := time.Now()
	for range 20 {
		if a := s.Chat(t, kit.Ask("demo/echo", "hello"), as("victim")...); a.Status != 200 {
			t.Fatalf("%d %s", a.Status, a.Body)
		}
	}
	if took := time.Since(began); took > 5*time.Second {
		t.Errorf("20 requests took %v", took)
	}
	if code, err := s.Stop(30 * time.Second); err != nil || code != 0 {
		t.Errorf("it ended with %d: %v", code, err)
	}
}

// What a server asks of its storage belongs to the request, whatever that was for.
func TestEveryRoutesStorageIsInItsTrace(t *testing.T) {
	t.Parallel()
	c := newCollector(t)
	s := kit.Start(t, kit.Options{Config: staff, Env: []string{"OTEL_EXPORTER_OTLP_ENDPOINT=" + c.url}})
	org := fmt.Sprint(object(t, call(t, s, 200, http.MethodGet, "/api/v1/me", "", as("victim")...))["org_id"])
	routes := []struct{ id, method, path, body, who, span, op string }{
		{"0af7651916cd43dd8448eb211c803101", http.MethodGet, "/api/v1/sessions", "", "victim", "GET /api/v1/sessions", "sqlite read"},
		{"0af7651916cd43dd8448eb211c803102", http.MethodGet, "/api/v1/orgs/" + org + "/audit", "", "org_auditor", "GET /api/v1/orgs/:org/audit", "sqlite read"},
		{"0af7651916cd43dd8448eb211c803103", http.MethodPost, "/api/v1/me/api-keys", `{"name":"traced"}`, "victim", "POST /api/v1/me/api-keys", "sqlite write"},
		{"0af7651916cd43dd8448eb211c803104", http.MethodGet, "/api/v1/sessions", "", "nobody", "GET /api/v1/sessions", ""},
		{"0af7651916cd43dd8448eb211c803105", http.MethodGet, "/v1/organization/users", "", "org_admin", "GET /v1/organization/users", "sqlite read"},
		{"0af7651916cd43dd8448eb211c803106", http.MethodGet, "/health", "", "victim", "GET /health", "sqlite read"},
	}
	for _, r := range routes {
		if _, err := s.Do(t.Context(), r.method, r.path, r.body, append(as(r.who), "Traceparent", "00-"+r.id+"-b7ad6b7169203331-01")...); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := s.Stop(20 * time.Second); err != nil {
		t.Fatal(err)
	}
	for _, r := range routes {
		got := c.of(r.id)
		root, op := got[r.span], got[r.op]
		if r.op != "" && (root == nil || op == nil || !bytes.Equal(op.GetParentSpanId(), root.GetSpanId())) {
			t.Errorf("%s %s: the trace is %v", r.method, r.path, got)
		}
	}
}

// The programs of agents do not hand a trace on; what stands between them and their
// providers does.
func TestATraceReachesTheProvidersOfProgramsToo(t *testing.T) {
	t.Parallel()
	c := newCollector(t)
	p := kit.NewProvider(t)
	s := kit.Start(t, kit.Options{Config: staff + realAgents(t, p, ""), Env: []string{"OTEL_EXPORTER_OTLP_ENDPOINT=" + c.url}})
	ids := map[string]string{"droid/m": "0af7651916cd43dd8448eb211c803201", "ccr/m": "0af7651916cd43dd8448eb211c803202", "up/m": "0af7651916cd43dd8448eb211c803203"}
	for model, id := range ids {
		if a := s.Chat(t, kit.Ask(model, "hello "+id), append(as("victim"), "Traceparent", "00-"+id+"-b7ad6b7169203331-01")...); a.Status != 200 {
			t.Fatalf("%s: %d %s", model, a.Status, a.Body)
		}
	}
	if _, err := s.Stop(20 * time.Second); err != nil {
		t.Fatal(err)
	}
	for model, id := range ids {
		spans := c.of(id)
		var run *trace.Span
		for name, span := range spans {
			if strings.HasPrefix(name, "invoke_agent ") || strings.HasPrefix(name, "chat ") {
				run = span
			}
		}
		if run == nil {
			t.Errorf("%s: no span of its run in %v", model, spans)
			continue
		}
		want, asked := fmt.Sprintf("00-%s-%x-01", id, run.GetSpanId()), 0
		for _, call := range p.Calls() {
			if strings.Contains(call.Body, id) {
				if asked++; call.Header.Get("Traceparent") != want {
					t.Errorf("%s: its provider was told %q, not %s", model, call.Header.Get("Traceparent"), want)
				}
			}
		}
		if asked == 0 {
			t.Errorf("%s: its provider was not asked", model)
		}
	}
}

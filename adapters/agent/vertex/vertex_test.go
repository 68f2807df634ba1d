package vertex_test

import (
	"context"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/goleak"

	"agentapi/adapters/agent/vertex"
	"agentapi/domain/agent"
	"agentapi/domain/chat"
	"agentapi/domain/fault"
	"agentapi/ports"
	"agentapi/ports/porttest"
	"agentapi/test/kit"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// google serves tokens for a service account, and counts them.
func google(t *testing.T) (file string, fetched *atomic.Int32) {
	t.Helper()
	fetched = &atomic.Int32{}
	tokens := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		fetched.Add(1)
		w.Header().Set("Content-Type", "application/json")
		fmt.Fprint(w, `{"access_token":"ya29.token","token_type":"Bearer","expires_in":3600}`)
	}))
	t.Cleanup(tokens.Close)
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	text, err := json.Marshal(map[string]string{
		"type": "service_account", "project_id": "a-project", "private_key_id": "k", "client_email": "a@a-project.iam.gserviceaccount.com", "client_id": "1",
		"private_key": string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der})), "token_uri": tokens.URL,
	})
	if err != nil {
		t.Fatal(err)
	}
	file = filepath.Join(t.TempDir(), "account.json")
	if err := os.WriteFile(file, text, 0o600); err != nil {
		t.Fatal(err)
	}
	return file, fetched
}

func open(t *testing.T, p *kit.Provider) *vertex.Agent {
	t.Helper()
	file, _ := google(t)
	return openWith(t, p, file)
}

func openWith(t *testing.T, p *kit.Provider, file string) *vertex.Agent {
	t.Helper()
	var o vertex.Options
	o.SetDefaults()
	o.BaseURL, o.Credentials = p.URL, file
	a, err := vertex.Open(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = a.Stop(context.Background()) }) // it has nothing to stop but connections
	return a
}

func task(text string, change ...func(*chat.Request)) agent.Task {
	r := &chat.Request{Model: "gemini-2.5-pro", N: 1, Stream: true, Messages: []chat.Message{chat.NewMessage(chat.User, text)}}
	for _, c := range change {
		c(r)
	}
	return agent.Task{Model: r.Model, Request: r, Messages: r.Messages, Session: agent.Session{ID: "sess_x", New: 1}}
}

func collect(t *testing.T, a ports.Agent, task agent.Task) (chat.Completion, error) {
	t.Helper()
	var fold chat.Assembler
	for e, err := range a.Run(t.Context(), task) {
		if err != nil {
			return fold.Completion(), err
		}
		if err := fold.Add(e); err != nil {
			t.Fatal(err)
		}
	}
	return fold.Completion(), nil
}

type saying struct {
	*vertex.Agent
	mode string
}

func (a saying) Run(ctx context.Context, t agent.Task) ports.Events {
	if a.mode != "" {
		t.Messages = []chat.Message{chat.NewMessage(chat.User, a.mode)}
	}
	return a.Agent.Run(ctx, t)
}

func TestTheDriverKeepsThePortsContract(t *testing.T) {
	p := kit.NewProvider(t)
	mode := func(m string) func(*testing.T) ports.Agent {
		return func(t *testing.T) ports.Agent { return saying{open(t, p), m} }
	}
	porttest.Agent(t, porttest.AgentBench{
		Answering: mode(""), FailingAtStart: mode("fail 500"), DyingMidway: mode("cut"),
		Stalling: mode("hang"), StallingMidway: mode("half"), Flooding: nil, // only time bounds an upstream's flood: the guard's
		Model: "gemini-2.5-pro", Echoes: true,
	})
}

func TestTheWire(t *testing.T) {
	p := kit.NewProvider(t)
	file, fetched := google(t)
	a := openWith(t, p, file)
	for range 3 {
		got, err := collect(t, a, task("hello there"))
		if err != nil || got.Choices[0].Message.Text() != "hello there" {
			t.Fatalf("got %+v, %v", got, err)
		}
		if u := got.Usage; u.Prompt != 111 || u.Completion != 22 || u.Cached != 10 || u.Reasoning != 2 {
			t.Errorf("used %+v", u)
		}
	}
	if n := fetched.Load(); n != 1 {
		t.Errorf("%d tokens were fetched for three calls", n)
	}
	last := p.Calls()[2]
	if want := "/v1/projects/a-project/locations/us-central1/publishers/google/models/gemini-2.5-pro:streamGenerateContent?alt=sse"; last.Path != want {
		t.Errorf("asked %s\nwant  %s", last.Path, want)
	}
	if last.Header.Get("Authorization") != "Bearer ya29.token" {
		t.Error("the token is not sent")
	}
	got, err := collect(t, a, task("think about it"))
	if err != nil || got.Choices[0].Reasoning != "let me see" {
		t.Errorf("got %+v, %v", got, err)
	}
}

func TestWhatIsAskedArrives(t *testing.T) {
	p := kit.NewProvider(t)
	a := open(t, p)
	r := &chat.Request{
		Model: "gemini-2.5-pro", N: 1, MaxTokens: 77, Stop: []string{"END"}, ToolChoice: json.RawMessage(`"required"`),
		Raw:    []byte(`{"temperature":0.5,"top_p":0.9,"seed":3,"reasoning_effort":"low"}`),
		Tools:  []chat.ToolSpec{{Name: "weather", Parameters: json.RawMessage(`{"type":"object"}`)}},
		Format: chat.Format{Kind: chat.JSONSchema, Schema: json.RawMessage(`{"type":"object"}`)},
		Messages: []chat.Message{
			chat.NewMessage(chat.System, "be brief"),
			{Role: chat.User, Parts: []chat.Part{{Kind: chat.TextPart, Text: "look"}, {Kind: chat.ImagePart, JSON: []byte(`{"type":"image_url","image_url":{"url":"data:image/png;base64,AAAA"}}`)}}},
		},
	}
	if _, err := collect(t, a, agent.Task{Model: r.Model, Request: r, Messages: r.Messages}); err != nil {
		t.Fatal(err)
	}
	var got, want any
	if err := json.Unmarshal([]byte(p.Calls()[0].Body), &got); err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal([]byte(`{
		"systemInstruction":{"parts":[{"text":"be brief"}]},
		"contents":[{"role":"user","parts":[{"text":"look"},{"inlineData":{"mimeType":"image/png","data":"AAAA"}}]}],
		"tools":[{"functionDeclarations":[{"name":"weather","parametersJsonSchema":{"type":"object"}}]}],
		"toolConfig":{"functionCallingConfig":{"mode":"ANY"}},
		"generationConfig":{"temperature":0.5,"topP":0.9,"maxOutputTokens":77,"stopSequences":["END"],"seed":3,
			"responseMimeType":"application/json","responseJsonSchema":{"type":"object"},"thinkingConfig":{"includeThoughts":true,"thinkingBudget":1024}}}`), &want); err != nil {
		t.Fatal(err)
	}
	if g, w := fmt.Sprint(got), fmt.Sprint(want); g != w {
		t.Errorf("got  %s\nwant %s", g, w)
	}
}

func TestToolsGoBothWaysWithTheirSignatures(t *testing.T) {
	p := kit.NewProvider(t)
	a := open(t, p)
	tools := func(r *chat.Request) { r.Tools = []chat.ToolSpec{{Name: "weather"}} }
	got, err := collect(t, a, task(`use weather {"city":"Rome"}`, tools))
	if err != nil || len(got.Choices[0].Message.ToolCalls) != 1 || got.Choices[0].Finish != chat.ToolCalls {
		t.Fatalf("got %+v, %v", got, err)
	}
	c := got.Choices[0].Message.ToolCalls[0]
	for name, agent := range map[string]*vertex.Agent{"c2lnbmF0dXJl": a, "c2tpcF90aG91Z2h0": open(t, p)} {
		second := task("", tools)
		second.Messages = []chat.Message{
			chat.NewMessage(chat.User, "weather?"), {Role: chat.Assistant, ToolCalls: []chat.ToolCall{c}},
			{Role: chat.Tool, ToolCallID: c.ID, Parts: []chat.Part{{Kind: chat.TextPart, Text: "sunny"}}},
		}
		answer, err := collect(t, agent, second)
		if err != nil || !strings.Contains(answer.Choices[0].Message.Text(), "sunny") {
			t.Fatalf("got %+v, %v", answer, err)
		}
		calls := p.Calls()
		if body := calls[len(calls)-1].Body; !strings.Contains(body, `"functionResponse":{"name":"weather"`) || !strings.Contains(body, name) {
			t.Errorf("the signature %s is missing: %s", name, body)
		}
	}
}

func TestWhatVertexSaysIsSaid(t *testing.T) {
	p := kit.NewProvider(t)
	a := open(t, p)
	for prompt, want := range map[string]fault.Kind{
		"fail 400": fault.Invalid, "fail 401": fault.Upstream, "fail 403": fault.Upstream, "fail 404": fault.NotFound, "fail 429": fault.RateLimited,
		"fail 500": fault.Upstream, "fail 503": fault.Unavailable, "reset": fault.Upstream, "cut": fault.Upstream,
	} {
		if _, err := collect(t, a, task(prompt)); fault.KindOf(err) != want {
			t.Errorf("%s: %v", prompt, err)
		}
	}
	for prompt, hint := range map[string]string{"fail 403": "Vertex AI User", "fail 404": "vertex.location"} {
		if _, err := collect(t, a, task(prompt)); fault.As(err) == nil || !strings.Contains(fault.As(err).Hint, hint) {
			t.Errorf("%s: %+v", prompt, err)
		}
	}
	if got, err := collect(t, a, task("long")); err != nil || len(got.Choices[0].Message.Text()) != 200<<10 {
		t.Errorf("a line of 200 KB: %v", err)
	}
}

func TestALeftCallEndsAtTheProvider(t *testing.T) {
	p := kit.NewProvider(t)
	a := open(t, p)
	for e, err := range a.Run(t.Context(), task("half")) {
		if err != nil {
			t.Fatal(err)
		}
		if e.Kind == chat.Text {
			break
		}
	}
	if !kit.Soon(time.Second, func() bool { return p.Open() == 0 }) {
		t.Error("the provider's call goes on")
	}
}

// The machine's own credentials, as Google's machines have them.
func TestTheMachinesOwnCredentials(t *testing.T) {
	meta := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Metadata-Flavor", "Google")
		switch {
		case strings.HasSuffix(r.URL.Path, "/project/project-id"):
			fmt.Fprint(w, "the-machines-project")
		case strings.HasSuffix(r.URL.Path, "/token"):
			w.Header().Set("Content-Type", "application/json")
			fmt.Fprint(w, `{"access_token":"machine","token_type":"Bearer","expires_in":3600}`)
		}
	}))
	defer meta.Close()
	t.Setenv("GCE_METADATA_HOST", strings.TrimPrefix(meta.URL, "http://"))
	t.Setenv("GOOGLE_APPLICATION_CREDENTIALS", "")
	t.Setenv("HOME", t.TempDir())
	p := kit.NewProvider(t)
	a := openWith(t, p, "")
	if _, err := collect(t, a, task("hello")); err != nil {
		t.Fatal(err)
	}
	if c := p.Calls()[0]; c.Header.Get("Authorization") != "Bearer machine" || !strings.Contains(c.Path, "/the-machines-project/") {
		t.Errorf("asked %s with %s", c.Path, c.Header.Get("Authorization"))
	}
	http.DefaultClient.CloseIdleConnections()
}

func TestWithoutCredentialsItIsUnavailable(t *testing.T) {
	p := kit.NewProvider(t)
	a := openWith(t, p, filepath.Join(t.TempDir(), "absent.json"))
	f := fault.As(a.Probe(t.Context()))
	if f == nil || f.Kind != fault.Unavailable || f.Hint == "" {
		t.Errorf("got %v", f)
	}
}

package e2e

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"agentapi/test/kit"
)

// badInput is a case of badinputs.jsonl; badinputs.README.md says what its members mean.
type badInput struct {
	ID, Group, Title, Method, Path, Auth, Precondition string

	Headers [][2]string
	Body    *string
	BodyB64 string `json:"body_b64"`
	RawB64  string `json:"raw_b64"`
	BodyGen *struct {
		Prefix, Middle, Suffix string
		Repeat                 []any
		RepeatEnd              []any `json:"repeat_end"`
		Zeros                  int   `json:"gzip_of_zeros"`
	} `json:"body_gen"`
	Token *struct {
		Header, Claims map[string]any
		Raw            string `json:"raw_payload"`
	}
	Expect struct {
		StatusClass string `json:"status_class"`
		Status      []int
		Type, Code  string
		Param       string
		Also        []string
	}
}

const (
	userA     = "sk-user-a-of-the-corpus"
	userB     = "sk-user-b-of-the-corpus"
	bodyLimit = 4 << 20
)

// elsewhere are cases that this server cannot meet or that are met elsewhere.
var elsewhere = map[string]string{
	"auth-061": "needs tokens with claims", "auth-063": "needs tokens with claims", "auth-069": "needs tokens with claims",
	"auth-065": "needs organisations that can be suspended",
	"auth-077": "needs keys that can be revoked",
	"chat-145": "application/completion has a test with a request running under the key",
}

// deviations are the cases where the corpus only proposes and something else
// holds: another code, or another status where the route does not exist.
var deviations = map[string]struct {
	status int
	code   string
	why    string
}{
	"auth-001":      {401, "", "OpenAI's form: no code where no credential was sent"},
	"auth-007":      {401, "", "a token in the query is no credential"},
	"auth-009":      {401, "", "x-api-key is no credential here"},
	"routing-007":   {404, "session_not_found", "the segment is taken as an id and is none"},
	"transport-023": {408, "request_timeout", "bare line ends end no head, so it never comes"},
	"transport-035": {408, "request_timeout", "it may go on to be a head"},
	"sessions-011":  {404, "not_found", "there is no such route"},
	"sessions-013":  {400, "unknown_parameter", "sessions have no parents"},
	"sessions-029":  {400, "unknown_parameter", "the cursor's name is after"},
	"sessions-037":  {405, "method_not_allowed", "messages are added by chatting"},
}

// slow are cases that the server waits for as long as for any request.
var slow = []string{"transport-023", "transport-035", "transport-037", "transport-045"}

// mine tells whether the case is for this server: with tokens of its own, but
// without administration and rates.
func (b *badInput) mine() bool {
	return slices.Contains([]string{"chat", "models", "routing", "transport", "sessions", "auth"}, b.Group)
}

func corpus(t *testing.T) (out []*badInput) {
	t.Helper()
	text, err := os.ReadFile("../badinputs.jsonl")
	if err != nil {
		t.Fatal(err)
	}
	for line := range bytes.Lines(text) {
		var b badInput
		if err := json.Unmarshal(line, &b); err != nil {
			t.Fatal(err)
		}
		if b.mine() {
			out = append(out, &b)
		}
	}
	return out
}

// pit is a server that the corpus is thrown at.
type pit struct {
	*kit.Server
	canary  net.Listener
	touched atomic.Int32 // connections that the canary got
	record  string       // where the fake agent writes what it was started with
	places  *strings.Replacer
}

func newPit(t *testing.T, target string) *pit {
	p := &pit{record: filepath.Join(t.TempDir(), "started")}
	var err error
	if p.canary, err = net.Listen("tcp", "127.0.0.1:0"); err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		for {
			conn, err := p.canary.Accept()
			if err != nil {
				return
			}
			p.touched.Add(1)
			conn.Close()
		}
	}()
	t.Cleanup(func() { p.canary.Close(); <-done })
	p.Server = kit.Start(t, kit.Options{Config: fmt.Sprintf(`
server: {max_body: %d}
log: {format: json, level: debug}
storage: {driver: sqlite}
identity:
  chain: [dev]
  dev: {tokens: [{token: %s, org: org_a, user: user_a}, {token: %s, org: org_b, user: user_b}]}
agents:
  demo: {driver: demo}
  fake: {driver: exec, models: [echo], exec: {command: [%q], env: {FAKEAGENT_RECORD: %q}}}
routing: {default: [demo], aliases: {echo-1: [%s]}}
`, bodyLimit, userA, userB, kit.FakeAgent(t), p.record, target)})
	session := func(token string) string {
		return p.Chat(t, kit.Ask("demo/echo", "x"), "Authorization", "Bearer "+token).Header.Get("X-Agentapi-Session-Id")
	}
	own, deleted, foreign := session(userA), session(userA), session(userB)
	if a, err := p.Do(t.Context(), http.MethodDelete, "/api/v1/sessions/"+deleted, "", "Authorization", "Bearer "+userA); err != nil || a.Status != http.StatusOK {
		t.Fatalf("got %d %s, %v", a.Status, a.Body, err)
	}
	_, port, err := net.SplitHostPort(p.canary.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	p.places = strings.NewReplacer("{TOKEN}", userA, "{OWN}", own, "{DELETED}", deleted, "{CURSOR_ORG_B}", foreign,
		"{CURSOR_TAMPERED}", own+"0", "{CANARY}", port, "{ISS}", "https://issuer.example", "{AUD}", "agentapi", "{CLIENT_ID}", "client")
	return p
}

// started gives the prompts, arguments and environments that programs were started with.
func (p *pit) started(t *testing.T) (out []start) {
	t.Helper()
	text, err := os.ReadFile(p.record)
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		t.Fatal(err)
	}
	for line := range bytes.Lines(text) {
		var s start
		if err := json.Unmarshal(line, &s); err != nil {
			t.Fatal(err)
		}
		out = append(out, s)
	}
	return out
}

type start struct {
	Prompt    string
	Argv, Env []string
}

func (b *badInput) body(t *testing.T) string {
	t.Helper()
	switch {
	case b.Body != nil:
		return *b.Body
	case b.BodyB64 != "":
		raw, err := base64.StdEncoding.DecodeString(b.BodyB64)
		if err != nil {
			t.Fatal(err)
		}
		return string(raw)
	case b.BodyGen != nil && b.BodyGen.Zeros > 0:
		return zeros(t, b.BodyGen.Zeros)
	case b.BodyGen != nil:
		repeat := func(r []any) string {
			if len(r) != 2 {
				return ""
			}
			n, ok := r[1].(float64)
			if !ok { // {BODY_LIMIT}
				n = bodyLimit
			}
			return strings.Repeat(r[0].(string), int(n))
		}
		g := b.BodyGen
		return g.Prefix + repeat(g.Repeat) + g.Middle + repeat(g.RepeatEnd) + g.Suffix
	}
	return ""
}

// zeros is a gzip file that unpacks to n zero bytes: members one after the other
// are a file too.
func zeros(t *testing.T, n int) string {
	t.Helper()
	const member = 16 << 20
	var b bytes.Buffer
	w := gzip.NewWriter(&b)
	if _, err := w.Write(make([]byte, member)); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return strings.Repeat(b.String(), n/member)
}

// credential is the Authorization header's value; empty for none.
func (b *badInput) credential(t *testing.T) string {
	t.Helper()
	switch {
	case b.Token != nil:
		part := func(base, over map[string]any) string {
			for k, v := range over {
				base[k] = v
			}
			text, err := json.Marshal(base)
			if err != nil {
				t.Fatal(err)
			}
			return base64.RawURLEncoding.EncodeToString(text)
		}
		payload := part(map[string]any{"iss": "https://issuer.example", "aud": "agentapi", "sub": "user_a", "org_id": "org_a", "exp": 9999999999}, b.Token.Claims)
		if b.Token.Raw != "" {
			payload = base64.RawURLEncoding.EncodeToString([]byte(b.Token.Raw))
		}
		return "Bearer " + part(map[string]any{"alg": "RS256", "kid": "k"}, b.Token.Header) + "." + payload + ".AAAA"
	case b.Auth == "user_a":
		return "Bearer {TOKEN}"
	default:
		return ""
	}
}

// bytes is the request as it goes over the wire: written by hand, since a client
// library would mend or refuse much of it.
func (b *badInput) bytes(t *testing.T, p *pit) []byte {
	t.Helper()
	if b.RawB64 != "" {
		raw, err := base64.StdEncoding.DecodeString(b.RawB64)
		if err != nil {
			t.Fatal(err)
		}
		return []byte(p.places.Replace(string(raw)))
	}
	body := p.places.Replace(b.body(t))
	var w bytes.Buffer
	fmt.Fprintf(&w, "%s %s HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n", b.Method, b.Path)
	if c := b.credential(t); c != "" {
		fmt.Fprintf(&w, "Authorization: %s\r\n", c)
	}
	for _, h := range b.Headers {
		fmt.Fprintf(&w, "%s: %s\r\n", h[0], h[1])
	}
	if body != "" || b.Method != http.MethodGet {
		fmt.Fprintf(&w, "Content-Length: %d\r\n", len(body))
	}
	w.WriteString("\r\n")
	return append([]byte(p.places.Replace(w.String())), body...)
}

// outcome is what a request got.
type outcome struct {
	status int // 0: the connection was closed without an answer
	header http.Header
	body   string
	took   time.Duration
	open   bool // the connection stayed open after the answer
	asked  bool // there was a 100 Continue
}

func (p *pit) throw(t *testing.T, b *badInput) (o outcome) {
	t.Helper()
	conn, err := net.Dial("tcp", strings.TrimPrefix(p.URL, "http://"))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	request := b.bytes(t, p)
	begin := time.Now()
	if err := conn.SetDeadline(begin.Add(45 * time.Second)); err != nil {
		t.Fatal(err)
	}
	written := make(chan struct{})
	go func() { // while the answer is read: the server may refuse before it has read all
		defer close(written)
		if _, err := conn.Write(request); err != nil {
			return // the server has closed
		}
		if b.has("harness:shutdown_write") {
			_ = conn.(*net.TCPConn).CloseWrite()
		}
		if b.has("harness:send_1_byte_per_s") {
			drip(conn)
		}
	}()
	defer func() { conn.Close(); <-written }()
	r := bufio.NewReader(conn)
	for {
		resp, err := http.ReadResponse(r, &http.Request{Method: b.Method})
		if err != nil {
			o.took = time.Since(begin)
			return o
		}
		if resp.StatusCode == http.StatusContinue {
			o.asked = true
			continue
		}
		body, err := io.ReadAll(resp.Body)
		if err != nil {
			t.Fatalf("the answer breaks off: %v", err)
		}
		o.status, o.header, o.body, o.took = resp.StatusCode, resp.Header, string(body), time.Since(begin)
		if b.has("connection_closed") {
			_, err := r.ReadByte()
			o.open = err == nil || errors.Is(err, os.ErrDeadlineExceeded)
		}
		return o
	}
}

// drip sends a byte of a header each second until the other side has enough.
func drip(conn net.Conn) {
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	for _, err := conn.Write([]byte("X-Slow: ")); err == nil; _, err = conn.Write([]byte("a")) {
		<-tick.C
	}
}

func (b *badInput) has(also string) bool { return slices.Contains(b.Expect.Also, also) }

func TestEveryBadInputGetsItsClassOfAnswer(t *testing.T) {
	for _, target := range []string{"demo/echo", "fake/echo"} {
		t.Run("answered by "+target, func(t *testing.T) {
			p := newPit(t, target)
			t.Run("cases", func(t *testing.T) {
				for _, b := range corpus(t) {
					t.Run(b.ID+" "+b.Title, func(t *testing.T) {
						if why := elsewhere[b.ID]; why != "" {
							t.Skip("left out: " + why)
						}
						if slices.Contains(slow, b.ID) {
							kit.Plain(t, "it takes the 30 s of the read time-out")
							t.Parallel()
						}
						p.check(t, b)
					})
				}
			})
			p.finish(t)
		})
	}
}

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
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/gofiber/fiber/v2"

	web "agentapi/adapters/http"
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
	Token  *recipe
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
	adminA    = "sk-org-admin-a-of-the-corpus"
	root      = "sk-root-of-the-corpus"
	bodyLimit = 4 << 20
)

// elsewhere are cases that are met elsewhere.
var elsewhere = map[string]string{
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
	"auth-063":      {403, "account_suspended", "who may not act in an organisation any more is suspended there"},
	"admin-003":     {401, "", "OpenAI's form: no code where no credential was sent"},
	"admin-015":     {400, "unknown_parameter", "the beginning's name is since"},
	"admin-021":     {400, "unknown_parameter", "organisations have no slugs: they have the name that their issuer gives them"},
	"routing-007":   {404, "session_not_found", "the segment is taken as an id and is none"},
	"transport-023": {408, "request_timeout", "bare line ends end no head, so it never comes"},
	"transport-035": {408, "request_timeout", "it may go on to be a head"},
	"sessions-011":  {404, "not_found", "there is no such route"},
	"sessions-013":  {400, "unknown_parameter", "sessions have no parents"},
	"sessions-029":  {400, "unknown_parameter", "the cursor's name is after"},
	"sessions-037":  {405, "method_not_allowed", "messages are added by chatting"},
}

// mayBeAbsent are cases of routes that the corpus proposes. Where there is no such
// route, whoever has a credential is told so.
var mayBeAbsent = []string{"auth-069", "admin-001", "admin-019", "admin-023", "admin-025", "admin-027"}

// absent is what is answered where there is no such route; no status: there is one.
func (b *badInput) absent() (status int, code string) {
	path, _, _ := strings.Cut(b.Path, "?")
	status, code = http.StatusNotFound, "not_found"
	for _, r := range web.Surface() {
		if !fiber.RoutePatternMatch(path, r.Path, fiber.Config{CaseSensitive: true, StrictRouting: true}) {
			continue
		}
		if r.Method == b.Method {
			return 0, ""
		}
		status, code = http.StatusMethodNotAllowed, "method_not_allowed"
	}
	return status, code
}

// slow are cases that the server waits for as long as for any request.
var slow = []string{"transport-023", "transport-035", "transport-037", "transport-045"}

// mine tells whether the case is for this server: it has no rates, and a program
// that misbehaves is another test's.
func (b *badInput) mine() bool {
	return slices.Contains([]string{"chat", "models", "routing", "transport", "sessions", "auth", "admin"}, b.Group)
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
func (p *pit) credential(t *testing.T, b *badInput) string {
	t.Helper()
	switch b.Auth {
	case "token":
		return "Bearer " + p.mint.token(t, b.Token, p.places)
	case "user_a":
		return "Bearer " + userA
	case "org_admin_a":
		return "Bearer " + adminA
	case "platform_admin":
		return "Bearer " + root
	case "revoked_key":
		return "Bearer " + p.revoked
	case "", "none", "in_raw":
		return ""
	default:
		t.Fatalf("who is %q?", b.Auth)
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
	path := strings.Replace(b.Path, "/platform/admins/root", "/platform/admins/"+p.last, 1)
	fmt.Fprintf(&w, "%s %s HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n", b.Method, path)
	if c := p.credential(t, b); c != "" {
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

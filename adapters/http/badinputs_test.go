package http_test

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"io"
	"net/http"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"
)

// badInput is a case of test/badinputs.jsonl, as far as it is used here.
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
	} `json:"body_gen"`
	Expect struct {
		StatusClass string `json:"status_class"`
		Status      []int
		Type, Code  string
		Param       string
		Also        []string
	}
}

// elsewhere are cases that need a harness of their own, and the test that is it.
var elsewhere = map[string]string{
	"chat-145":      "application/completion, TestAKeyThatIsRunningOrUsedForAnotherBodyIsRefused",
	"transport-045": "TestASlowHeadHasItsTimeAndNoMore",
}

// otherCode are cases whose proposed code gives way to another, with the reason.
var otherCode = map[string]string{
	"auth-001":     "", // OpenAI's: no code where no credential was sent
	"auth-007":     "",
	"auth-009":     "",
	"routing-007":  "session_not_found", // the segment is taken as an id, and is none
	"sessions-011": "not_found",         // there is no such route
	"sessions-029": "unknown_parameter", // the cursor's name is after
}

func (b *badInput) body(limit int) []byte {
	switch {
	case b.Body != nil:
		return []byte(*b.Body)
	case b.BodyB64 != "":
		raw, _ := base64.StdEncoding.DecodeString(b.BodyB64)
		return raw
	case b.BodyGen != nil:
		repeat := func(r []any) string {
			if len(r) != 2 {
				return ""
			}
			n, ok := r[1].(float64)
			if !ok {
				n = float64(limit)
			}
			return strings.Repeat(r[0].(string), int(n))
		}
		g := b.BodyGen
		return []byte(g.Prefix + repeat(g.Repeat) + g.Middle + repeat(g.RepeatEnd) + g.Suffix)
	}
	return nil
}

func TestBadInputsGetTheirClassOfAnswer(t *testing.T) {
	h := open(t)
	text, err := os.ReadFile("../../test/badinputs.jsonl")
	if err != nil {
		t.Fatal(err)
	}
	for line := range bytes.Lines(text) {
		var b badInput
		if err := json.Unmarshal(line, &b); err != nil {
			t.Fatal(err)
		}
		mine := slices.Contains([]string{"chat", "models", "routing", "transport"}, b.Group) ||
			(b.Group == "sessions" && b.Method == "GET" && b.Precondition == "") ||
			(b.Group == "auth" && b.Auth == "none")
		if !mine || elsewhere[b.ID] != "" {
			continue
		}
		t.Run(b.ID+" "+b.Title, func(t *testing.T) {
			if b.Auth == "in_raw" {
				h.sendRaw(t, &b)
				return
			}
			path := strings.NewReplacer("{TOKEN}", token, "{CURSOR_ORG_B}", "sess_01jd0000000000000000000000", "{OWN}", "x", "{DELETED}", "x").Replace(b.Path)
			req, err := http.NewRequestWithContext(t.Context(), b.Method, h.url, bytes.NewReader(b.body(1<<20)))
			if err != nil {
				t.Fatal(err)
			}
			req.URL.Opaque = path // as it stands, dots and escapes included
			if b.Auth == "user_a" {
				req.Header.Set("Authorization", "Bearer "+token)
			}
			for _, kv := range b.Headers {
				req.Header[http.CanonicalHeaderKey(kv[0])] = append(req.Header[http.CanonicalHeaderKey(kv[0])], strings.ReplaceAll(kv[1], "{TOKEN}", token))
			}
			start := time.Now()
			resp, err := h.send(t, req)
			if err != nil {
				t.Fatal(err)
			}
			defer resp.Body.Close()
			body, err := io.ReadAll(resp.Body)
			if err != nil {
				t.Fatal(err)
			}
			b.check(t, resp.StatusCode, resp.Header, string(body), time.Since(start), h)
		})
	}
}

// send sends a request as it is, headers included that Go's client refuses to send.
func (h *house) send(t *testing.T, req *http.Request) (*http.Response, error) {
	resp, err := http.DefaultTransport.RoundTrip(req)
	if err == nil || !strings.Contains(err.Error(), "invalid header") {
		return resp, err
	}
	conn, r := h.dial(t)
	head := req.Method + " " + req.URL.Opaque + " HTTP/1.1\r\nHost: localhost\r\n"
	for name, values := range req.Header {
		for _, v := range values {
			head += name + ": " + v + "\r\n"
		}
	}
	if _, err := io.WriteString(conn, head+"\r\n"); err != nil {
		return nil, err
	}
	return http.ReadResponse(r, req)
}

func (h *house) sendRaw(t *testing.T, b *badInput) {
	raw, err := base64.StdEncoding.DecodeString(b.RawB64)
	if err != nil {
		t.Fatal(err)
	}
	raw = bytes.ReplaceAll(raw, []byte("{TOKEN}"), []byte(token))
	if slices.Contains(b.Expect.Also, "or_connection_closed") {
		t.Parallel() // these wait
	}
	conn, r := h.dial(t)
	start := time.Now()
	if _, err := conn.Write(raw); err != nil {
		t.Logf("the server closed early: %v", err)
	}
	if slices.Contains(b.Expect.Also, "harness:shutdown_write") || b.ID == "transport-037" {
		conn.CloseWrite()
	}
	if err := conn.SetReadDeadline(time.Now().Add(5 * time.Second)); err != nil {
		t.Fatal(err)
	}
	head, err := r.Peek(12)
	if err != nil && slices.Contains(b.Expect.Also, "or_connection_closed") {
		return
	}
	if string(head) == "HTTP/1.1 100" {
		t.Fatal("the server asked for the body")
	}
	resp, err := http.ReadResponse(r, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	b.check(t, resp.StatusCode, resp.Header, string(body), time.Since(start), h)
	if slices.Contains(b.Expect.Also, "connection_closed") {
		if _, err := r.ReadByte(); err != io.EOF {
			t.Errorf("the connection is still open: %v", err)
		}
	}
}

func (b *badInput) check(t *testing.T, status int, header http.Header, body string, took time.Duration, h *house) {
	t.Helper()
	if !slices.Contains(b.Expect.Status, status) {
		t.Fatalf("got %d %s, want %v", status, body, b.Expect.Status)
	}
	if !regexp.MustCompile(`^req_[0-9a-f]{32}$`).MatchString(header.Get("X-Request-Id")) {
		t.Errorf("x-request-id is %q", header.Get("X-Request-Id"))
	}
	if status >= 400 {
		var e struct {
			Error map[string]any `json:"error"`
		}
		if err := json.Unmarshal([]byte(body), &e); err != nil {
			t.Fatalf("the body is no error: %s", body)
		}
		text := func(k string) string { v, _ := e.Error[k].(string); return v }
		if text("message") == "" || text("type") != b.Expect.Type && b.Expect.Type != "" {
			t.Errorf("the error is %v", e.Error)
		}
		if b.Expect.Param != "" && text("param") != b.Expect.Param {
			t.Errorf("param is %q, want %q: %s", text("param"), b.Expect.Param, text("message"))
		}
		want := b.Expect.Code
		if b.Group == "auth" && want == "invalid_token" || b.ID == "transport-049" {
			want = "invalid_api_key"
		}
		if other, ok := otherCode[b.ID]; ok {
			want = other
		} else if want == "" || status != b.Expect.Status[0] {
			want = text("code")
		}
		if want != text("code") {
			t.Errorf("code is %q, want %q: %s", text("code"), want, text("message"))
		}
		if strings.Contains(body, token) {
			t.Errorf("the answer has the token: %s", body)
		}
	}
	for _, also := range b.Expect.Also {
		kind, arg, _ := strings.Cut(also, ":")
		switch kind {
		case "header":
			name, want, exact := strings.Cut(arg, "=")
			if exact && header.Get(name) != want {
				t.Errorf("%s is %q, want %q", name, header.Get(name), want)
			}
			if name, pattern, ok := strings.Cut(arg, "~"); ok && !regexp.MustCompile(pattern).MatchString(header.Get(name)) {
				t.Errorf("%s is %q, want %q", name, header.Get(name), pattern)
			}
		case "header_absent":
			if header.Get(arg) != "" {
				t.Errorf("%s is %q", arg, header.Get(arg))
			}
		case "answer_within_1s":
			if took > time.Second {
				t.Errorf("it took %v", took)
			}
		}
	}
	if strings.Contains(h.logs.String(), token) {
		t.Error("the log has the token")
	}
}

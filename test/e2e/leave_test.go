package e2e

import (
	"bufio"
	"bytes"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"agentapi/test/kit"
)

// gone is how long what a client started may outlive it.
const gone = 2 * time.Second

// dial sends a chat request over a connection of the test's own.
func dial(t *testing.T, s *kit.Server, body string, headers ...string) (*net.TCPConn, *bufio.Reader) {
	t.Helper()
	conn, err := net.Dial("tcp", strings.TrimPrefix(s.URL, "http://"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	head := append([]string{
		"POST /v1/chat/completions HTTP/1.1", "Host: 127.0.0.1", "Authorization: Bearer " + kit.Token,
		"Content-Type: application/json", fmt.Sprintf("Content-Length: %d", len(body)),
	}, headers...)
	if _, err := conn.Write([]byte(strings.Join(head, "\r\n") + "\r\n\r\n" + body)); err != nil {
		t.Fatal(err)
	}
	return conn.(*net.TCPConn), bufio.NewReader(conn)
}

// readUntil reads an answer until it holds text.
func readUntil(t *testing.T, conn *net.TCPConn, r *bufio.Reader, text string) {
	t.Helper()
	if err := conn.SetReadDeadline(time.Now().Add(10 * time.Second)); err != nil {
		t.Fatal(err)
	}
	var all strings.Builder
	for !strings.Contains(all.String(), text) {
		line, err := r.ReadString('\n')
		all.WriteString(line)
		if err != nil {
			t.Fatalf("%v after %q", err, all.String())
		}
	}
}

func TestWhatAClientStartedIsGoneTwoSecondsAfterIt(t *testing.T) {
	for name, leave := range map[string]func(*net.TCPConn) error{
		"who closes":     func(c *net.TCPConn) error { return c.Close() },
		"who breaks off": reset,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			dir := t.TempDir()
			variable, value, processes := kit.Marked(t)
			hang, half := kit.NewUpstream(t, "hang"), kit.NewUpstream(t, "half")
			record := filepath.Join(dir, "started")
			s := kit.Start(t, kit.Options{Config: fmt.Sprintf(`
storage: {driver: memory}
agents:
  hang: {driver: openai, models: [m], openai: {base_url: %q}}
  half: {driver: openai, models: [m], openai: {base_url: %q}}
  fake: {driver: exec, models: [m], exec: {command: [%q], env: {%s: %q, FAKEAGENT_RECORD: %q}}}
`, hang.URL, half.URL, kit.FakeAgent(t), variable, value, record)})
			starts := 0
			started := func() bool {
				text, _ := os.ReadFile(record) // it is there once a program has started
				return bytes.Count(text, []byte("\n")) > starts
			}
			asked := func(u *kit.Upstream, before int) func() bool { return func() bool { return u.Requests() > before } }
			none := func() bool { return len(processes()) == 0 }
			for _, c := range []struct {
				model, prompt string
				stream        bool
				until         string // what is read before leaving; empty: the agent is silent
				begun         func() bool
				gone          func() bool
			}{
				{"hang/m", "x", false, "", asked(hang, 0), func() bool { return hang.Gone(0) }},
				{"hang/m", "x", true, "", asked(hang, 1), func() bool { return hang.Gone(0) }},
				{"half/m", "x", true, `"content":"x"`, asked(half, 0), func() bool { return half.Gone(0) }},
				{"fake/m", "hang", false, "", started, none},
				{"fake/m", "half", true, "half ", started, none},
				{"fake/m", "deaf", true, "deaf ", started, none}, // with a child in a session of its own
			} {
				body := kit.Ask(c.model, c.prompt)
				if c.stream {
					body = kit.AskStream(c.model, c.prompt)
				}
				conn, r := dial(t, s, body)
				if c.until != "" {
					readUntil(t, conn, r, c.until)
				}
				if !kit.Soon(5*time.Second, c.begun) {
					t.Fatalf("%s %s: the agent was not asked", c.model, c.prompt)
				}
				if strings.HasPrefix(c.model, "fake") {
					starts++
					if none() {
						t.Fatalf("%s: its processes are not seen", c.prompt)
					}
				}
				if err := leave(conn); err != nil {
					t.Fatal(err)
				}
				at := time.Now()
				if !kit.Soon(gone, c.gone) {
					t.Errorf("%s %s stream=%v: what it started is still there: %v", c.model, c.prompt, c.stream, processes())
				}
				t.Logf("%s %s stream=%v: gone after %v", c.model, c.prompt, c.stream, time.Since(at).Round(time.Millisecond))
			}
		})
	}
}

func TestNothingIsLeftOpenWhenClientsHaveGone(t *testing.T) {
	half := kit.NewUpstream(t, "half")
	s := kit.Start(t, kit.Options{Config: two(half.URL, half.URL)})
	round := func() {
		conns := make([]*net.TCPConn, 50)
		for i := range conns {
			conn, r := dial(t, s, kit.AskStream("mock-1", "x"))
			readUntil(t, conn, r, `"content":"x"`)
			conns[i] = conn
		}
		for _, c := range conns {
			c.Close()
		}
		for range conns {
			if !half.Gone(gone) {
				t.Fatal("the upstream was not told")
			}
		}
	}
	round()
	before := s.Descriptors(t)
	round()
	round()
	if !kit.Soon(gone, func() bool { return s.Descriptors(t) <= before+2 }) {
		t.Errorf("%d descriptors are open, %d were", s.Descriptors(t), before)
	}
}

func TestWhatAKilledServerLeftIsEndedByTheNext(t *testing.T) {
	variable, value, processes := kit.Marked(t)
	o := kit.Options{Dir: t.TempDir(), Config: fmt.Sprintf(`
agents:
  fake: {driver: exec, models: [m], exec: {command: [%q], env: {%s: %q}}}
`, kit.FakeAgent(t), variable, value)}
	killed, err := kit.Launch(t, o)
	if err != nil {
		t.Fatal(err)
	}
	conn, r := dial(t, killed, kit.AskStream("fake/m", "deaf"))
	readUntil(t, conn, r, "deaf ")
	killed.Kill()
	if len(processes()) == 0 {
		t.Fatal("the killed server left nothing: the test shows nothing")
	}
	kit.Start(t, o)
	if !kit.Soon(gone, func() bool { return len(processes()) == 0 }) {
		t.Errorf("still there: %v", processes())
	}
}

func TestASecondServerOnTheSameDataSaysSo(t *testing.T) {
	first := kit.Start(t, kit.Options{})
	second, err := kit.Launch(t, kit.Options{Dir: first.Dir})
	if err == nil {
		second.Kill()
		t.Fatal("two servers run on one data folder")
	}
	if !strings.Contains(second.Logs.String(), "another agentapi") {
		t.Errorf("it does not say why:\n%s", second.Logs)
	}
}

// reset ends a connection without a goodbye.
func reset(c *net.TCPConn) error {
	if err := c.SetLinger(0); err != nil {
		return err
	}
	return c.Close()
}

package mock

import (
	"io"
	"net"
	"testing"
	"time"

	"agentapi/test/load/internal/sse"
	"agentapi/test/load/internal/wire"
)

func run(t *testing.T, c Config, path, body string, want int) (*sse.Checker, []byte) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	go New(c).Serve(l)
	addr, req, err := wire.Request("http://"+l.Addr().String()+path, nil, []byte(body))
	if err != nil {
		t.Fatal(err)
	}
	w := wire.NewConn(addr, 4096)
	defer w.Close()
	var all []byte
	ck := &sse.Checker{}
	for range 2 { // the second on the same connection
		ck.Reset()
		all = all[:0]
		status, err := w.Do(req, 5*time.Second)
		if err != nil || status != want {
			t.Fatal(status, err)
		}
		buf := make([]byte, 777) // an odd size, to split events
		for {
			n, err := w.Read(buf)
			ck.Write(buf[:n], time.Now())
			all = append(all, buf[:n]...)
			if err == io.EOF {
				break
			}
			if err != nil {
				t.Fatal(err)
			}
		}
	}
	return ck, all
}

func TestStreams(t *testing.T) {
	for _, p := range []string{"/v1/chat/completions", "/v1/messages"} {
		ck, _ := run(t, Config{Batch: 3}, p, `{"stream": true, "max_tokens": 50}`, 200)
		if !ck.OK(50) {
			t.Errorf("%s: %+v", p, ck)
		}
	}
}

func TestWhole(t *testing.T) {
	for _, p := range []string{"/v1/chat/completions", "/v1/messages"} {
		_, b := run(t, Config{}, p, `{"max_tokens":5}`, 200)
		if len(b) < 100 || b[len(b)-1] != '}' {
			t.Errorf("%s: %q", p, b)
		}
	}
}

func TestErrors(t *testing.T) {
	run(t, Config{ErrorRate: 1, ErrorStatus: 503}, "/v1/chat/completions", `{}`, 503)
	run(t, Config{}, "/nowhere", `{}`, 404)
}

func TestChecker(t *testing.T) {
	var c sse.Checker
	c.Write([]byte("data: {\"c\":\"w000000@0000000000000001 \"}\n\ndata: {\"c\":\"w000002@0000000000000001 \"}\r\n\r\ndata: [DO"), time.Now())
	c.Write([]byte("NE]\n\n"), time.Now())
	if c.Tokens != 1 || c.OutOfOrder != 1 || !c.Done || c.OK(1) {
		t.Errorf("%+v", c)
	}
}

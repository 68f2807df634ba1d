package listener

import (
	"fmt"
	"net"
	"net/http"
	"testing"

	"go.uber.org/goleak"

	"agentapi/domain/fault"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestOnlyWhatIsEnabledIsServed(t *testing.T) {
	at, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	addr := at.Addr().String()
	taken := New(Params{Addr: addr})
	if err := taken.Start(t.Context()); !fault.Is(err, fault.Unavailable) {
		t.Errorf("on an address that is taken: %v", err)
	}
	at.Close()
	for name, c := range map[string]struct {
		p              Params
		metrics, pprof int
	}{
		"metrics":  {Params{Metrics: http.HandlerFunc(func(http.ResponseWriter, *http.Request) {})}, 200, 404},
		"profiles": {Params{Pprof: true}, 404, 200},
	} {
		c.p.Addr = addr
		l := New(c.p)
		if err := l.Start(t.Context()); err != nil {
			t.Fatal(err)
		}
		for path, want := range map[string]int{"/metrics": c.metrics, "/debug/pprof/": c.pprof, "/debug/pprof/goroutine": c.pprof, "/": 404} {
			resp, err := http.Get(fmt.Sprintf("http://%s%s", addr, path))
			if err != nil {
				t.Fatal(err)
			}
			resp.Body.Close()
			if resp.StatusCode != want {
				t.Errorf("%s: %s is %d, want %d", name, path, resp.StatusCode, want)
			}
		}
		if err := l.Stop(t.Context()); err != nil {
			t.Error(err)
		}
		http.DefaultClient.CloseIdleConnections()
	}
}

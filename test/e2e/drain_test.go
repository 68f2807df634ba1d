package e2e

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"agentapi/test/kit"
)

// A server is asked to stop under load, again and again: of the streams that run,
// none is broken.
func TestNoStreamIsBrokenByAServerThatIsAskedToStop(t *testing.T) {
	drains, streams := kit.Size(2, 3, 100), kit.Size(50, 200, 200)
	for n := range drains {
		s, err := kit.Launch(t, kit.Options{Config: "storage: {driver: memory}\nagents: {demo: {driver: demo, demo: {delay: 20ms}}}\n"})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(s.Kill)
		drainUnderLoad(t, s, streams)
		if t.Failed() {
			t.Fatalf("at drain %d:\n%s", n+1, s.Logs)
		}
	}
}

func drainUnderLoad(t *testing.T, s *kit.Server, streams int) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	var open, done sync.WaitGroup
	open.Add(streams)
	for range streams {
		done.Go(func() {
			resp, err := s.Open(ctx, http.MethodPost, "/v1/chat/completions", kit.AskStream("demo/slow", strings.Repeat("word ", 40)))
			open.Done()
			if err != nil {
				t.Error(err)
				return
			}
			defer resp.Body.Close()
			if text, err := streamed(resp); err != nil {
				t.Errorf("after %q: %v", text, err)
			}
		})
	}
	open.Wait()
	s.Signal(syscall.SIGTERM)
	done.Wait()
	if code, err := s.Wait(20 * time.Second); err != nil || code != 0 {
		t.Errorf("exit %d, %v", code, err)
	}
}

// Whoever asks twice means it, however soon the second time comes.
func TestASecondSignalIsNotLost(t *testing.T) {
	for range kit.Size(3, 5, 50) {
		s := kit.Start(t, kit.Options{Env: []string{"AGENTAPI_SERVER__DRAIN_DELAY=60s", "AGENTAPI_SERVER__DRAIN=30s"}})
		s.Signal(syscall.SIGINT)
		s.Signal(syscall.SIGTERM) // another one, of which the kernel makes no single one
		if code, err := s.Wait(20 * time.Second); err != nil || code != 0 {
			t.Fatalf("exit %d, %v", code, err)
		}
	}
}

func TestAServerThatIsIdleStopsAtOnce(t *testing.T) {
	s := kit.Start(t, kit.Options{})
	if code, err := s.Stop(3 * time.Second); err != nil || code != 0 {
		t.Errorf("exit %d, %v", code, err)
	}
}

// Within the delay a server still serves, and has its clients come back elsewhere.
func TestAnswersOfAServerThatIsAskedToStopCloseTheirConnections(t *testing.T) {
	s := kit.Start(t, kit.Options{Env: []string{"AGENTAPI_SERVER__DRAIN_DELAY=1500ms"}})
	ask := func() *http.Response {
		resp, err := s.Open(t.Context(), http.MethodPost, "/v1/chat/completions", kit.Ask("demo/echo", "x"))
		if err != nil {
			t.Fatal(err)
		}
		resp.Body.Close()
		return resp
	}
	if resp := ask(); resp.StatusCode != http.StatusOK || resp.Close {
		t.Errorf("before: %d, closes %v", resp.StatusCode, resp.Close)
	}
	s.Signal(syscall.SIGTERM)
	if !kit.Soon(time.Second, func() bool {
		a, err := s.Do(t.Context(), http.MethodGet, "/readyz", "")
		return err == nil && a.Status == http.StatusServiceUnavailable
	}) {
		t.Error("it is ready still")
	}
	if resp := ask(); resp.StatusCode != http.StatusOK || !resp.Close {
		t.Errorf("while it drains: %d, closes %v", resp.StatusCode, resp.Close)
	}
	if code, err := s.Wait(10 * time.Second); err != nil || code != 0 {
		t.Errorf("exit %d, %v", code, err)
	}
}

// The storage does not answer, so that the start lasts until the signal.
func TestASignalDuringTheStartEndsTheServerProperly(t *testing.T) {
	l := silent(t)
	logs := &kit.Log{}
	dir := t.TempDir()
	c := exec.Command(kit.Binary(t), "serve", "--addr", "127.0.0.1:0")
	c.Env = []string{"PATH=" + os.Getenv("PATH"), "HOME=" + dir, "AGENTAPI_DATA_DIR=" + dir, "AGENTAPI_DEV_TOKEN=" + kit.Token, fmt.Sprintf("DATABASE_URL=postgres://u:p@%s/d?sslmode=disable", l.addr)}
	c.Stdout, c.Stderr = logs, logs
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	select {
	case <-l.met:
	case <-time.After(10 * time.Second):
		t.Error("it does not ask the storage")
	}
	_ = c.Process.Signal(syscall.SIGTERM)
	ended := make(chan error, 1)
	go func() { ended <- c.Wait() }()
	select {
	case err := <-ended:
		if err != nil {
			t.Errorf("%v\n%s", err, logs)
		}
	case <-time.After(5 * time.Second):
		_ = c.Process.Kill()
		t.Errorf("it lives on: %v\n%s", <-ended, logs)
	}
}

// mute is a server that takes connections and says nothing.
type mute struct {
	addr string
	met  chan struct{} // somebody has come
}

func silent(t *testing.T) mute {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	m := mute{l.Addr().String(), make(chan struct{}, 1)}
	t.Cleanup(func() { l.Close() })
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			t.Cleanup(func() { c.Close() })
			select {
			case m.met <- struct{}{}:
			default:
			}
		}
	}()
	return m
}

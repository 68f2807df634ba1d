package e2e

import (
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"agentapi/test/kit"
)

// As many streams are open at once as the descriptors of one process allow, of a client
// and an upstream that are processes of their own. Each must come whole, in order, and
// end once.
func TestThousandsOfStreamsEachEndOnce(t *testing.T) {
	streams := kit.Size(300, 1000, 9000)
	dir := t.TempDir()
	addr := fmt.Sprintf("127.0.0.1:%d", kit.FreePort(t))
	mock := exec.Command(kit.Program(t, "agentapi/test/load/cmd/mockup"), "-addr", addr)
	if err := mock.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = mock.Process.Kill()
		_ = mock.Wait() // killed, as it should be
	})
	if !kit.Soon(5*time.Second, func() bool {
		c, err := net.Dial("tcp", addr)
		if err == nil {
			c.Close()
		}
		return err == nil
	}) {
		t.Fatal("the upstream does not listen")
	}
	s := kit.Start(t, kit.Options{Config: fmt.Sprintf("storage: {driver: memory}\nagents: {up: {driver: openai, models: [mock-1], limits: {concurrent: 20000, first_event: 5m}, openai: {base_url: 'http://%s/v1'}}}\n", addr)})
	targets, out := filepath.Join(dir, "targets.json"), filepath.Join(dir, "out.json")
	text, err := json.Marshal([]map[string]any{{
		"name": "agentapi", "url": s.URL + "/v1/chat/completions", "pid": s.PID(), "model": "mock-1", "headers": map[string]string{"Authorization": "Bearer " + kit.Token},
	}})
	if err == nil {
		err = os.WriteFile(targets, text, 0o600)
	}
	if err != nil {
		t.Fatal(err)
	}
	// Slowly enough that two busy cores keep up with all of them.
	ramp := time.Duration(streams) * 2 * time.Millisecond
	scale := exec.Command(kit.Program(t, "agentapi/test/load/cmd/scale"), "-targets", targets, "-mock", "http://"+addr, "-out", out,
		"-streams", fmt.Sprint(streams), "-ramp", ramp.String(), "-hold", "10s", "-gap", "2s")
	said, err := scale.CombinedOutput()
	if err != nil {
		t.Fatalf("%v: %s", err, said)
	}
	var got []struct {
		Completed, Bad int
		Errors         map[string]int
		KBPer          float64 `json:"kb_per_stream"`
		Cores          float64
	}
	if text, err = os.ReadFile(out); err == nil {
		err = json.Unmarshal(text, &got)
	}
	if err != nil || len(got) != 1 {
		t.Fatalf("%v: %s", err, said)
	}
	if g := got[0]; g.Completed != streams || g.Bad != 0 || len(g.Errors) != 0 {
		t.Errorf("of %d streams %d are whole, %d are not, errors %v", streams, g.Completed, g.Bad, g.Errors)
	}
	if a, err := s.Do(t.Context(), http.MethodGet, "/readyz", ""); err != nil || a.Status != 200 {
		t.Errorf("then readiness is %d %s, %v", a.Status, a.Body, err)
	}
	t.Logf("RELIABILITY R9 %d streams open at once: %d whole, in order and ended once, %d not, %.0f KB each, %.2f cores", streams, got[0].Completed, got[0].Bad, got[0].KBPer, got[0].Cores)
}

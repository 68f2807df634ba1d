// Command load measures the server against a bare relay of the same HTTP library,
// side by side: both relay to the same mock upstream, in turns, in the same run.
// It builds and starts everything itself, on loopback, and stops it again.
//
//	go run ./test/load               the whole bench, some minutes
//	go run ./test/load -smoke        seconds: integrity only, no verdict on ratios
//	go run ./test/load -streams 5000 more open streams
package main

import (
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strings"
	"time"
)

const (
	mockAddr, floorAddr, ownAddr = "127.0.0.1:9100", "127.0.0.1:9203", "127.0.0.1:9301"
	token                        = "sk-agentapi-dev-bench"
)

func main() {
	smoke := flag.Bool("smoke", false, "run for seconds, to see that all works")
	rounds := flag.Int("rounds", 3, "rounds of each measurement")
	streams := flag.Int("streams", 1000, "streams held open at once")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	b := &bench{ctx: ctx, rounds: *rounds, dur: "4s", warm: "1s", streams: *streams, hold: "10s"}
	if *smoke {
		b.rounds, b.dur, b.warm, b.streams, b.hold = 1, "500ms", "100ms", 50, "2s"
	}
	err := b.run()
	b.stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "load:", err)
		os.Exit(1)
	}
}

// bench is one run.
type bench struct {
	ctx             context.Context
	dir             string
	rounds          int
	dur, warm, hold string
	streams         int
	started         []*exec.Cmd
	others          []target // which others have started
}

// target is a server to be asked, as the parts of the bench read it.
type target struct {
	Name    string            `json:"name"`
	URL     string            `json:"url"`
	PIDFile string            `json:"pidfile,omitempty"`
	PID     int               `json:"pid,omitempty"`
	Model   string            `json:"model,omitempty"`
	Headers map[string]string `json:"headers,omitempty"`
}

// chats is where a server at the address is asked.
func chats(address string) string { return "http://" + address + "/v1/chat/completions" }

func (b *bench) run() error {
	if err := b.begin(); err != nil {
		return err
	}
	servers := []string{"fiber", "agentapi"}
	for _, t := range b.others {
		servers = append(servers, t.Name)
	}
	return b.measure(strings.Join(servers, ","))
}

// beside asks others only, whole answers, and gives ratios to the first of them.
func (b *bench) beside() error {
	if err := b.begin(); err != nil {
		return err
	}
	names := make([]string, len(b.others))
	for i, t := range b.others {
		names[i] = t.Name
	}
	err := b.do("load", "-targets", "targets.json", "-only", strings.Join(names, ","), "-baseline", names[0], "-rounds", fmt.Sprint(b.rounds), "-dur", b.dur, "-warm", b.warm,
		"-conns", "64", "-label", "whole", "-out", "whole.json")
	if err != nil {
		return err
	}
	return b.do("report", "-cols", "rps,p50,p99,cpu,rss,err", "-ref", names[0], "whole.json")
}

// begin builds the parts and starts the servers.
func (b *bench) begin() (err error) {
	if b.dir, err = os.MkdirTemp("", "agentapi-load-"); err != nil {
		return err
	}
	for _, pkg := range []string{"agentapi/test/load/cmd/mockup", "agentapi/test/load/cmd/floor", "agentapi/test/load/cmd/load", "agentapi/test/load/cmd/scale", "agentapi/test/load/cmd/report", "agentapi/test/load/cmd/probe", "agentapi/bootstrap/agentapi"} {
		if err := b.do("go", "build", "-o", b.dir+"/", pkg); err != nil {
			return err
		}
	}
	return b.servers()
}

// measure asks the servers of those names, and what starts fast.
func (b *bench) measure(only string) error {
	// First, while no other load has made the servers' memory grow.
	if err := b.do("scale", "-targets", "targets.json", "-only", "fiber,agentapi", "-streams", fmt.Sprint(b.streams), "-hold", b.hold, "-out", "scale.json"); err != nil {
		return err
	}
	for _, m := range [][]string{
		{"whole", "-conns", "64"},
		{"burst", "-stream", "-tokens", "200", "-mockcfg", `{"batch":10}`, "-conns", "32"},
		{"paced", "-stream", "-tokens", "50", "-mockcfg", `{"delay_ms":20}`, "-conns", "200"},
		{"prompt-100k", "-conns", "16", "-prompt", "100000"},
		{"500 a second", "-conns", "64", "-rate", "500", "-only", "direct," + only},
	} {
		args := append([]string{"-targets", "targets.json", "-only", only, "-baseline", "fiber", "-rounds", fmt.Sprint(b.rounds), "-dur", b.dur, "-warm", b.warm,
			"-label", m[0], "-out", m[0] + ".json"}, m[1:]...)
		if err := b.do("load", args...); err != nil {
			return err
		}
	}
	b.stop()
	if err := b.cold(); err != nil {
		return err
	}
	return b.do("report", "-cols", "rps,p50,p99,o50,cpu,rss,err", "-ref", "fiber", "whole.json", "burst.json", "paced.json", "prompt-100k.json", "500 a second.json")
}

func bearer(token string) map[string]string {
	return map[string]string{"Authorization": "Bearer " + token}
}

// servers starts the mock upstream, the floor and the server.
func (b *bench) servers() error {
	config := fmt.Sprintf(`version: 1
server: {addr: %q}
storage: {driver: memory}
limits: {platform: {concurrent: 100000}, organization: {requests_per_day: 100000000}, user: {requests_per_minute: 10000000, tokens_per_minute: 1000000000}}
agents:
  up: {driver: openai, models: [mock-1], openai: {base_url: "http://%s/v1", api_key: none}}
`, ownAddr, mockAddr)
	targets, err := json.Marshal(append([]target{
		{Name: "direct", URL: chats(mockAddr), PIDFile: "mockup.pid"},
		{Name: "fiber", URL: chats(floorAddr), PIDFile: "floor.pid"},
		{Name: "agentapi", URL: chats(ownAddr), PIDFile: "agentapi.pid", Model: "mock-1", Headers: bearer(token)},
	}, b.others...))
	if err != nil {
		return err
	}
	for name, text := range map[string][]byte{"agentapi.yaml": []byte(config), "targets.json": targets} {
		if err := os.WriteFile(filepath.Join(b.dir, name), text, 0o600); err != nil {
			return err
		}
	}
	for _, address := range []string{mockAddr, floorAddr, ownAddr} {
		l, err := net.Listen("tcp", address)
		if err != nil {
			return fmt.Errorf("another would be measured: %w", err)
		}
		l.Close()
	}
	for _, s := range [][]string{
		{"mockup", "-addr", mockAddr}, {"floor", "-mode", "fiber", "-addr", floorAddr, "-up", mockAddr}, {"agentapi", "serve"},
	} {
		cmd := b.command(s[0], s[1:]...)
		if err := cmd.Start(); err != nil {
			return err
		}
		b.started = append(b.started, cmd)
		if err := os.WriteFile(filepath.Join(b.dir, s[0]+".pid"), fmt.Append(nil, cmd.Process.Pid), 0o600); err != nil {
			return err
		}
	}
	return b.ready()
}

func (b *bench) ready() error {
	for until := time.Now().Add(10 * time.Second); time.Now().Before(until); time.Sleep(5 * time.Millisecond) {
		resp, err := http.Get("http://" + ownAddr + "/readyz")
		if err == nil {
			resp.Body.Close()
			if resp.StatusCode == http.StatusOK {
				return nil
			}
		}
	}
	return fmt.Errorf("the server does not become ready")
}

// cold measures the start to the first healthy answer, and the memory at rest.
func (b *bench) cold() error {
	fmt.Println("\ncold start to the first healthy answer, and memory at rest:")
	return b.do("probe", "-url", "http://"+ownAddr+"/readyz", "-cold", fmt.Sprint(b.rounds), "-settle", "2s", "--", filepath.Join(b.dir, "agentapi"), "serve")
}

func (b *bench) command(name string, args ...string) *exec.Cmd {
	own := name != "go"
	if own {
		name = filepath.Join(b.dir, name)
	}
	cmd := exec.CommandContext(b.ctx, name, args...)
	cmd.Stderr = os.Stderr
	if own {
		cmd.Dir = b.dir
		cmd.Env = append(os.Environ(), "AGENTAPI_CONFIG="+filepath.Join(b.dir, "agentapi.yaml"), "AGENTAPI_DATA_DIR="+b.dir, "AGENTAPI_DEV_TOKEN="+token)
	}
	if strings.HasSuffix(name, "/agentapi") {
		cmd.Stderr = nil // its log is not the bench's
	}
	return cmd
}

func (b *bench) do(name string, args ...string) error {
	cmd := b.command(name, args...)
	cmd.Stdout = os.Stdout
	if err := cmd.Run(); err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	return nil
}

// stop ends what was started.
func (b *bench) stop() {
	for _, cmd := range b.started {
		_ = cmd.Process.Kill()
		_ = cmd.Wait() // it was killed; how it ended says nothing
	}
	b.started = nil
}

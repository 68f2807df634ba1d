package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/spf13/cobra"
	"go.uber.org/fx"
	"go.uber.org/zap"

	"agentapi/bootstrap"
	"agentapi/configs"
	"agentapi/domain/fault"
	"agentapi/ports"
)

// finding is the result of one check.
type finding struct {
	ID      string `json:"id"`
	Status  string `json:"status"` // ok, warn, fail or skip
	Summary string `json:"summary"`
	Fix     string `json:"fix,omitempty"`
	Millis  int64  `json:"ms"`
}

// checkLimit is how long one check may take, and startLimit a program to say its
// version: node alone takes seconds where the machine is busy.
const (
	checkLimit = 5 * time.Second
	startLimit = 15 * time.Second
)

func doctorCommand(files *[]string) *cobra.Command {
	var asJSON bool
	c := &cobra.Command{
		Use: "doctor", Short: "Check this machine and the configuration, and say what to mend", Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			found := examine(c.Context(), *files)
			failed := 0
			for _, f := range found {
				if f.Status == "fail" {
					failed++
				}
			}
			if asJSON {
				err := json.NewEncoder(c.OutOrStdout()).Encode(struct {
					OK     bool      `json:"ok"`
					Checks []finding `json:"checks"`
				}{failed == 0, found})
				if err != nil {
					return &exit{code: exitError, err: err}
				}
			} else {
				report(c.OutOrStdout(), found)
			}
			if failed > 0 {
				return &exit{code: exitDependency, err: fmt.Errorf("%d of %d checks failed", failed, len(found))}
			}
			return nil
		},
	}
	output(c, &asJSON)
	return c
}

func report(out io.Writer, found []finding) {
	marks := map[string]string{"ok": "✓", "warn": "!", "fail": "✗", "skip": "–"}
	for _, f := range found {
		fmt.Fprintf(out, "%s %-18s %s\n", marks[f.Status], f.ID, f.Summary)
		if f.Fix != "" {
			fmt.Fprintf(out, "  %-18s → %s\n", "", f.Fix)
		}
	}
}

// examine runs all checks; those of agents at the same time.
func examine(ctx context.Context, files []string) []finding {
	loaded, err := load(files, nil)
	if err != nil {
		return []finding{{ID: "config", Status: "fail", Summary: err.Error(), Fix: "agentapi config schema describes every setting"}}
	}
	source := "defaults only"
	if loaded.File != "" {
		source = loaded.File
	}
	out := []finding{{ID: "config", Status: "ok", Summary: source}}
	for _, n := range loaded.Notices {
		out = append(out, finding{ID: "config", Status: "warn", Summary: n})
	}
	out = append(out, checkListen(ctx, loaded.Config), checkData())
	if loaded.Storage.Driver == "postgres" && loaded.Identity.KeyPepper == "" {
		out = append(out, finding{ID: "pepper", Status: "warn", Summary: "API keys are good on this machine only, whose data folder has their pepper",
			Fix: "set AGENTAPI_KEY_PEPPER to the same for all servers of the database, made by: openssl rand -hex 32"})
	}
	return append(out, checkParts(ctx, loaded.Config)...)
}

func checkListen(ctx context.Context, c *configs.Config) finding {
	var lc net.ListenConfig
	l, err := lc.Listen(ctx, "tcp", c.Server.Addr)
	if err != nil && serves(ctx, c.Server.Addr) {
		return finding{ID: "listen", Status: "ok", Summary: "an agentapi serves at " + c.Server.Addr + " already"}
	}
	if err != nil {
		return finding{ID: "listen", Status: "warn", Summary: c.Server.Addr + " is in use or cannot be had", Fix: "choose another port with AGENTAPI_PORT"}
	}
	l.Close()
	return finding{ID: "listen", Status: "ok", Summary: c.Server.Addr + " is free"}
}

// serves tells whether a server of this program answers at an address.
func serves(ctx context.Context, addr string) bool {
	ctx, cancel := context.WithTimeout(ctx, checkLimit)
	defer cancel()
	if host, port, err := net.SplitHostPort(addr); err == nil && (host == "" || net.ParseIP(host).IsUnspecified()) {
		addr = net.JoinHostPort("127.0.0.1", port)
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+addr+"/status", nil)
	if err != nil {
		return false
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return false
	}
	defer resp.Body.Close()
	var said struct{ Name string }
	return json.NewDecoder(io.LimitReader(resp.Body, 4<<10)).Decode(&said) == nil && said.Name == "agentapi"
}

func checkData() finding {
	dir, err := dataDir()
	if err != nil {
		return finding{ID: "data", Status: "fail", Summary: err.Error(), Fix: "set AGENTAPI_DATA_DIR"}
	}
	probe := filepath.Join(dir, ".doctor")
	err = os.MkdirAll(dir, 0o700)
	if err == nil {
		err = os.WriteFile(probe, nil, 0o600)
	}
	if err != nil {
		return finding{ID: "data", Status: "fail", Summary: dir + " cannot be written", Fix: "set AGENTAPI_DATA_DIR to a folder that can"}
	}
	_ = os.Remove(probe)
	return finding{ID: "data", Status: "ok", Summary: dir}
}

// checkParts opens what is configured, starts nothing, and probes the agents.
func checkParts(ctx context.Context, c *configs.Config) []finding {
	var (
		agents  map[string]ports.Agent
		storage ports.Storage
		cache   ports.Cache
		chain   []ports.Authenticator
	)
	dir, err := dataDir()
	if err != nil {
		dir = ""
	}
	app := bootstrap.App(c, bootstrap.NewSetting(dir, ""), zap.NewNop(), fx.Populate(&agents, &storage, &cache, &chain))
	if err := app.Err(); err != nil {
		return []finding{{ID: "parts", Status: "fail", Summary: bootstrap.Cause(err).Error(), Fix: "agentapi config validate"}}
	}
	out := []finding{checkKept(ctx, "storage", c.Storage.Driver, storage), checkKept(ctx, "cache", c.Cache.Driver, cache)}
	out = append(out, checkLogin(ctx, chain)...)
	probed := make([]finding, len(agents))
	var all sync.WaitGroup
	for i, name := range c.AgentNames() {
		all.Go(func() { probed[i] = checkAgent(ctx, name, agents[name]) })
	}
	all.Wait()
	out = append(out, probed...)
	for _, m := range bootstrap.Wanted(os.Getenv, c) {
		out = append(out, finding{ID: "agent " + m.Name, Status: "skip", Summary: m.Reason, Fix: m.Fix})
	}
	return out
}

// checkKept asks a storage or a cache that lives elsewhere whether it would do.
func checkKept(ctx context.Context, id, driver string, part any) finding {
	f := finding{ID: id, Status: "ok", Summary: driver}
	p, ok := part.(interface{ Probe(context.Context) error })
	if !ok {
		return f
	}
	ctx, cancel := context.WithTimeout(ctx, checkLimit)
	defer cancel()
	if s, ok := part.(interface{ Stop(context.Context) error }); ok && id == "cache" {
		defer func() { _ = s.Stop(ctx) }()
	}
	start := time.Now()
	err := p.Probe(ctx)
	f.Millis = time.Since(start).Milliseconds()
	if err != nil {
		f.Status, f.Summary = "fail", driver+" cannot be used"
		if e := fault.As(err); e != nil {
			f.Summary, f.Fix = e.Message, e.Hint
		}
	}
	return f
}

// checkLogin asks the providers of logins for their keys.
func checkLogin(ctx context.Context, chain []ports.Authenticator) (out []finding) {
	login := provider(chain)
	if login == nil {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, checkLimit)
	defer cancel()
	defer func() { _ = login.Stop(ctx) }()
	start := time.Now()
	for _, p := range login.Examine(ctx) {
		f := finding{ID: "identity", Status: "ok", Millis: time.Since(start).Milliseconds(), Summary: fmt.Sprintf("oidc, %s, keys: %d", p.Issuer, p.Keys)}
		switch {
		case p.Err != nil:
			f.Status, f.Summary = "fail", fmt.Sprintf("oidc, %s: %v", p.Issuer, p.Err)
			f.Fix = "see that its issuer and jwks_url are right, and that this machine reaches them"
		case p.Open:
			f.Summary += "; tokens for any audience are taken"
		}
		out = append(out, f)
	}
	return out
}

func checkAgent(ctx context.Context, name string, a ports.Agent) finding {
	limited, cancel := context.WithTimeout(ctx, checkLimit)
	defer cancel()
	start := time.Now()
	err := a.Probe(limited)
	f := finding{ID: "agent " + name, Status: "ok", Summary: "ready", Millis: time.Since(start).Milliseconds()}
	if err == nil {
		return known(ctx, f, a)
	}
	f.Status, f.Summary = "fail", "cannot be reached"
	if e := fault.As(err); e != nil {
		f.Summary, f.Fix = e.Message, e.Hint
	} else if errors.Is(err, context.DeadlineExceeded) {
		f.Summary = "does not answer"
	}
	return f
}

// known adds what an agent that can be reached says of itself: the version of its
// program, held against the one that was tested, and how its models are served.
func known(ctx context.Context, f finding, a ports.Agent) finding {
	if g, ok := a.(interface{ Unwrap() ports.Agent }); ok {
		a = g.Unwrap()
	}
	if v, ok := a.(interface {
		Version(context.Context) (got, tested string, err error)
	}); ok {
		ctx, cancel := context.WithTimeout(ctx, startLimit)
		defer cancel()
		switch got, tested, err := v.Version(ctx); {
		case ctx.Err() != nil:
			f.Status, f.Summary = "warn", fmt.Sprintf("its program takes more than %s to tell its version", startLimit)
			f.Fix = "it may work all the same: try again when this machine is less busy"
		case err != nil:
			f.Status, f.Summary = "warn", "its program does not tell its version"
			f.Fix = "see that it starts by itself, and that it is the tested one: version " + tested
		case got != "":
			f.Summary += ", version " + got
			if got != tested {
				f.Status, f.Fix = "warn", "this build was tested with version "+tested
			}
		}
	}
	if n, ok := a.(interface{ Notes() []string }); ok {
		for _, note := range n.Notes() {
			f.Summary += "; " + note
		}
	}
	return f
}

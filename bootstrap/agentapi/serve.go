package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/signal"
	"path/filepath"
	"slices"
	"strconv"
	"syscall"
	"time"

	"github.com/spf13/cobra"
	"go.uber.org/fx"
	"go.uber.org/zap"
	"golang.org/x/term"

	web "agentapi/adapters/http"
	"agentapi/adapters/telemetry/zaplog"
	"agentapi/application/operations"
	"agentapi/bootstrap"
	"agentapi/configs"
	"agentapi/domain/fault"
)

func serveCommand(files *[]string, again <-chan os.Signal) *cobra.Command {
	var (
		memory bool
		addr   string
	)
	c := &cobra.Command{
		Use: "serve", Short: "Serve the API", Args: cobra.NoArgs,
		Long: "Serve the API.\n\nWithout a configuration file it keeps conversations in SQLite in your data folder, makes a token,\nand serves the agents that it finds on this machine.",
		RunE: func(c *cobra.Command, _ []string) error {
			flags := map[string]string{}
			if memory {
				flags["storage.driver"] = "memory"
			}
			if addr != "" {
				flags["server.addr"] = addr
			}
			return serve(c.Context(), again, *files, flags, c.ErrOrStderr())
		},
	}
	c.Flags().BoolVar(&memory, "memory", false, "keep nothing: storage in memory")
	c.Flags().StringVar(&addr, "addr", "", "where to listen, as host:port")
	return c
}

// moment is how long a server that is told twice to stop takes at most.
const moment = 5 * time.Second

// serve runs the server until ctx ends; what again has then means at once.
func serve(ctx context.Context, again <-chan os.Signal, files []string, flags map[string]string, out io.Writer) error {
	loaded, err := load(files, flags)
	if err != nil {
		return err
	}
	setting, made, err := setting(loaded.Config)
	if err != nil {
		return err
	}
	log, level, flush, err := zaplog.New(out, loaded.Log.Level, loaded.Log.Format == "console" || loaded.Log.Format == "auto" && isTerminal(out))
	if err != nil {
		return &exit{code: exitConfig, err: err}
	}
	defer func() { _ = flush() }() // where stderr is gone, there is nobody to tell
	setting.Level, setting.Load = level, func() (*configs.Config, error) {
		again, err := load(files, flags)
		if err != nil {
			return nil, err
		}
		return again.Config, nil
	}
	hangup := make(chan os.Signal, 1)
	signal.Notify(hangup, syscall.SIGHUP) // from the beginning: it must not end a start
	defer signal.Stop(hangup)
	var (
		server  *web.Server
		operate *operations.Service
	)
	app := bootstrap.App(loaded.Config, setting, log, fx.Populate(&server, &operate))
	if err := app.Err(); err != nil {
		return &exit{code: exitConfig, err: bootstrap.Cause(err), fix: "agentapi config validate checks without starting"}
	}
	start, cancel := context.WithTimeout(ctx, app.StartTimeout())
	defer cancel()
	if err := app.Start(start); err != nil {
		if ctx.Err() != nil {
			log.Info("stopped before the start had ended")
			return nil
		}
		return startFailed(bootstrap.Cause(err))
	}
	address := reachable(server.Addr())
	announce(out, log, &announcement{
		loaded: loaded, address: address, setting: setting, made: made,
		missing: bootstrap.Wanted(os.Getenv, loaded.Config),
	})
	defer leave(setting.DataDir, address)()

	for ctx.Err() == nil {
		select {
		case <-hangup:
			operate.HangUp(ctx)
		case <-ctx.Done():
		}
	}
	log.Info("stopping when running answers have ended; a second signal stops at once", zap.Duration("at most", loaded.Server.DrainDelay+loaded.Server.Drain))
	stop, cancel := context.WithTimeout(context.Background(), app.StopTimeout())
	defer cancel()
	// A second signal means now: what runs is told so, and what is left to do has a moment.
	go func() {
		select {
		case <-again:
			server.Hurry()
			time.AfterFunc(moment, cancel)
		case <-stop.Done():
		}
	}()
	if err := app.Stop(stop); err != nil {
		log.Warn("stopped before everything had ended", zap.Error(err))
		return nil
	}
	log.Info("stopped")
	return nil
}

// setting is what this process brings; made tells that it made the token.
func setting(c *configs.Config) (s bootstrap.Setting, made bool, err error) {
	dir, err := dataDir()
	if err != nil {
		return s, false, err
	}
	token := ""
	if slices.Contains(c.Identity.Chain, "dev") && (!c.Has("identity.dev.tokens") || os.Getenv("AGENTAPI_DEV_TOKEN") != "") {
		if token, made, err = devToken(dir); err != nil {
			return s, false, err
		}
	}
	return bootstrap.NewSetting(dir, token), made, nil
}

// startFailed gives a failed start its exit code and fix.
func startFailed(err error) error {
	e := &exit{code: exitDependency, err: err}
	if f := fault.As(err); f != nil {
		e.fix = f.Hint
	}
	if errors.Is(err, context.Canceled) {
		e.code = exitInterrupt
	}
	return e
}

// orAsk is startFailed for a command that reads the storage, where the server that
// has the only file open tells the same at path.
func orAsk(err error, c *configs.Config, path string) error {
	failed := startFailed(err)
	var e *exit
	if c.Storage.Driver == "sqlite" && fault.Is(err, fault.Unavailable) && errors.As(failed, &e) && e.fix != "" {
		e.fix += " The server that runs tells, too: agentapi admin get " + path
	}
	return failed
}

// leave writes the address where agentapi chat finds it, until the server stops. A
// folder that cannot be written costs a flag there, nothing else.
func leave(dir, address string) (remove func()) {
	path, text := filepath.Join(dir, addressFile), "http://"+address+"\n"
	before, _ := os.ReadFile(path) // of another server, if there is one
	if _, err := os.Stat(dir); err == nil {
		_ = os.WriteFile(path, []byte(text), 0o600)
	}
	return func() {
		now, err := os.ReadFile(path)
		switch {
		case err != nil || string(now) != text: // another's
		case len(before) > 0 && string(before) != text:
			_ = os.WriteFile(path, before, 0o600)
		default:
			_ = os.Remove(path)
		}
	}
}

// reachable is the address as this machine reaches it.
func reachable(a net.Addr) string {
	if t, ok := a.(*net.TCPAddr); ok && t.IP.IsUnspecified() {
		return net.JoinHostPort("127.0.0.1", strconv.Itoa(t.Port))
	}
	return a.String()
}

func isTerminal(w io.Writer) bool {
	f, ok := w.(*os.File)
	return ok && term.IsTerminal(int(f.Fd()))
}

func version() string {
	b := bootstrap.Version()
	if b.Revision == "" {
		return b.Version
	}
	return fmt.Sprintf("%s (%.10s)", b.Version, b.Revision)
}

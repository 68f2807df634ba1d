// Command agentapi serves many coding agents and language models behind one
// OpenAI-compatible API.
package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"runtime/debug"
	"strings"
	"sync"
	"syscall"

	"github.com/spf13/cobra"
)

// The exit codes.
const (
	exitOK         = 0
	exitError      = 1
	exitUsage      = 2
	exitConfig     = 3
	exitDependency = 4
	exitRefused    = 5
	exitInterrupt  = 130
)

// exit is an error that says with which code the program ends. Its text is one
// line for people; fix says what to do about it.
type exit struct {
	code int
	err  error
	fix  string
}

func (e *exit) Error() string { return e.err.Error() }
func (e *exit) Unwrap() error { return e.err }

func main() {
	if os.Getenv("GOGC") == "" {
		// A server's live heap is small beside what passes through it: collecting
		// half as often costs little memory and saves a tenth of the time.
		debug.SetGCPercent(200)
	}
	os.Exit(run(os.Args[1:]))
}

func run(args []string) int {
	ctx, again, stop := interruptible(context.Background())
	defer stop()
	root := command(again)
	root.SetArgs(args)
	asked, err := root.ExecuteContextC(ctx)
	if err == nil {
		return exitOK
	}
	var e *exit
	if !errors.As(err, &e) {
		e = &exit{code: exitUsage, err: err, fix: asked.UseLine() + "; --help says more"}
		if asked.HasSubCommands() {
			e.fix = meant(asked) + asked.CommandPath() + " --help lists commands and flags"
		}
	}
	if e.code == exitInterrupt {
		return e.code
	}
	fmt.Fprintf(os.Stderr, "agentapi: %v\n", e.err)
	if e.fix != "" {
		fmt.Fprintf(os.Stderr, "  → %s\n", e.fix)
	}
	return e.code
}

// meant asks after the command whose name is like what was asked of c for.
func meant(c *cobra.Command) string {
	c.SuggestionsMinimumDistance = 2
	if like := c.SuggestionsFor(c.Flags().Arg(0)); c.Flags().NArg() > 0 && len(like) > 0 {
		return "did you mean " + c.CommandPath() + " " + strings.Join(like, " or ") + "? "
	}
	return ""
}

// interruptible gives a context that ends with the first signal to stop, and where those
// come that follow: from now on none is lost.
func interruptible(parent context.Context) (ctx context.Context, again <-chan os.Signal, stop func()) {
	ctx, cancel := context.WithCancel(parent)
	signals := make(chan os.Signal, 2)
	signal.Notify(signals, os.Interrupt, syscall.SIGTERM)
	var first sync.WaitGroup
	first.Go(func() {
		select {
		case <-signals:
			cancel()
		case <-ctx.Done():
		}
	})
	return ctx, signals, func() {
		signal.Stop(signals)
		cancel()
		first.Wait()
	}
}

// command is the whole program; again is where a second signal to stop comes.
func command(again <-chan os.Signal) *cobra.Command {
	root := &cobra.Command{
		Use:   "agentapi",
		Short: "Coding agents and language models behind one OpenAI-compatible API",
		Long: "AgentAPI serves coding agents and language models behind one OpenAI-compatible API.\n\n" +
			"Start with: agentapi serve",
		SilenceErrors: true, SilenceUsage: true, Version: version(),
		Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error { return c.Help() },
	}
	var files []string
	root.PersistentFlags().StringArrayVar(&files, "config", nil, "read this configuration file (again: lay another over it)")
	root.AddCommand(
		serveCommand(&files, again), migrateCommand(&files), storageCommand(&files), lifeCommand(&files), auditCommand(&files), agentsCommand(&files), doctorCommand(&files), configCommand(&files), tokenCommand(&files),
		loginCommand(), contextCommand(), healthcheckCommand(), versionCommand(),
	)
	root.AddCommand(talksToServer(chatCommand(), reloadCommand(), sessionsCommand(), keysCommand(), budgetsCommand(), limitsCommand(), modelsCommand(), requestsCommand(), adminCommand(&files), logoutCommand())...)
	return root
}

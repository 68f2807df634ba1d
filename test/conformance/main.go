// Command conformance asks a server that speaks OpenAI's dialect what OpenAI's clients
// take for granted, and prints a table of what holds. It ends with 1 where something
// does not, and with 2 where it was called wrongly. What a server need not have is
// "not applicable".
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/signal"
	"strings"
	"time"
)

// notApplicable is why a check says nothing about a server.
type notApplicable string

func (n notApplicable) Error() string { return string(n) }

// run does all checks, prints the table and gives how many have failed.
func run(ctx context.Context, out io.Writer, a *api) int {
	fmt.Fprintln(out, "| check | result | |\n| --- | --- | --- |")
	failed, count := 0, map[string]int{}
	for _, c := range checks {
		err := error(notApplicable("an extension of AgentAPI's"))
		if !c.own || a.isAgentAPI(ctx) {
			err = c.does(ctx, a)
		}
		result, says, na := "pass", "", notApplicable("")
		if errors.As(err, &na) {
			result, says = "n/a", na.Error()
		} else if err != nil {
			result, says = "FAIL", err.Error()
			failed++
		}
		count[result]++
		fmt.Fprintf(out, "| %s | %s | %s |\n", c.name, result, strings.NewReplacer("|", `\|`, "\n", " ").Replace(clip(says)))
	}
	fmt.Fprintf(out, "\n%d passed, %d failed, %d not applicable\n", count["pass"], count["FAIL"], count["n/a"])
	return failed
}

func main() {
	a := &api{client: &http.Client{}}
	flag.StringVar(&a.base, "url", os.Getenv("OPENAI_BASE_URL"), "base `URL`, which ends in /v1 (OPENAI_BASE_URL)")
	flag.StringVar(&a.key, "key", os.Getenv("OPENAI_API_KEY"), "API `key` (OPENAI_API_KEY)")
	flag.StringVar(&a.model, "model", "", "`model` that is asked; the first one listed if absent")
	flag.StringVar(&a.tools, "tools", "", "`model` that calls tools; the same if absent")
	flag.DurationVar(&a.client.Timeout, "timeout", time.Minute, "how long an answer may take")
	flag.Parse()
	if a.base == "" || flag.NArg() > 0 {
		flag.Usage()
		os.Exit(2)
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	if run(ctx, os.Stdout, a) > 0 {
		os.Exit(1)
	}
}

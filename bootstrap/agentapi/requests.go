package main

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"
)

func requestsCommand() *cobra.Command {
	c := &cobra.Command{
		Use: "requests", Short: "See why requests went where they went, on a running server", Args: cobra.NoArgs,
		Long: "See why requests went where they went, on a running server, which is found as agentapi chat finds it.",
		RunE: func(c *cobra.Command, _ []string) error { return c.Help() },
	}
	c.AddCommand(requestsExplain())
	return c
}

// failure is why something failed, as the server gives it.
type failure struct {
	Kind string  `json:"kind"`
	Code *string `json:"code"`
}

func (f *failure) String() string {
	switch {
	case f == nil:
		return "-"
	case f.Code != nil && *f.Code != f.Kind:
		return f.Kind + " (" + *f.Code + ")"
	default:
		return f.Kind
	}
}

// explanation is why a request went where it went, as the server gives it.
type explanation struct {
	ID         string  `json:"id"`
	Org        string  `json:"org_id"`
	User       string  `json:"user_id"`
	Instance   string  `json:"instance"`
	Model      string  `json:"model"`
	Route      *string `json:"route"`
	Strategy   string  `json:"strategy"`
	Reason     *string `json:"reason"`
	Candidates []struct {
		Agent   string  `json:"agent"`
		Model   string  `json:"model"`
		Verdict string  `json:"verdict"`
		Lacks   *string `json:"lacks"`
	} `json:"candidates"`
	Attempts []struct {
		Agent  string   `json:"agent"`
		Model  string   `json:"model"`
		Result string   `json:"result"`
		Error  *failure `json:"error"`
		Hedge  bool     `json:"hedge"`
		Waited float64  `json:"waited_seconds"`
		Took   float64  `json:"took_seconds"`
	} `json:"attempts"`
	Stopped  *string   `json:"stopped"`
	Status   string    `json:"status"`
	Error    *failure  `json:"error"`
	Began    time.Time `json:"started_at"`
	Took     float64   `json:"took_seconds"`
	Recalled *struct {
		Agent    string    `json:"agent"`
		Model    string    `json:"model"`
		Attempts int       `json:"attempts"`
		At       time.Time `json:"recorded_at"`
	} `json:"recalled"`
}

func requestsExplain() *cobra.Command {
	var asJSON bool
	c := &cobra.Command{
		Use: "explain ID", Short: "Tell why a request went where it went", Args: cobra.ExactArgs(1),
		Long: "Tell why a request went where it went: who could answer, who was asked and how that ended. Its id is x-request-id of the answer.\n\n" +
			"A server remembers its last 2,000 requests; with a shared cache, the others know for an hour those that failed or were tried more than once.\n" +
			"Of older ones the audit log says how they ended.",
		RunE: func(c *cobra.Command, args []string) error {
			cl, err := newClient(c, "")
			if err != nil {
				return err
			}
			raw, err := cl.read(c.Context(), http.MethodGet, "/api/v1/platform/requests/"+url.PathEscape(args[0])+"/explain", nil)
			if err != nil {
				return err
			}
			if asJSON {
				_, err := fmt.Fprintf(c.OutOrStdout(), "%s\n", raw)
				return err
			}
			var e explanation
			if err := json.Unmarshal(raw, &e); err != nil {
				return notOurs(err)
			}
			return e.print(c.OutOrStdout())
		},
	}
	output(c, &asJSON)
	return c
}

func lasted(seconds float64) time.Duration {
	return time.Duration(seconds * float64(time.Second)).Round(time.Millisecond)
}

func (e *explanation) print(out io.Writer) error {
	if r := e.Recalled; r != nil {
		end := ""
		if e.Error != nil {
			end = " with " + e.Error.String()
		}
		_, err := fmt.Fprintf(out, "%s of %s, on server %s, %s%s at %s\n%s/%s was asked last, after %d attempts\n"+
			"why it went there is not remembered any more: this is what the audit log says\n",
			line(e.ID), line(e.Org), line(e.Instance), line(e.Status), end, r.At.Format(time.RFC3339), line(r.Agent), line(r.Model), r.Attempts)
		return err
	}
	fmt.Fprintf(out, "%s asked for %s at %s (%s of %s, server %s)\n", line(e.ID), line(e.Model), e.Began.Format(time.RFC3339), e.User, e.Org, line(e.Instance))
	switch {
	case e.Route == nil:
		fmt.Fprintln(out, "nobody answers to that name")
	case e.Reason != nil:
		fmt.Fprintf(out, "found by %s, %s: %s/%s comes first: %s\n", *e.Route, e.Strategy, line(e.Candidates[0].Agent), line(e.Candidates[0].Model), *e.Reason)
	default:
		fmt.Fprintf(out, "found by %s\n", *e.Route)
	}
	table := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	if len(e.Candidates) > 0 {
		fmt.Fprintln(table, "\nCANDIDATE\tVERDICT")
	}
	for _, c := range e.Candidates {
		verdict := strings.ReplaceAll(c.Verdict, "_", " ")
		if c.Lacks != nil {
			verdict += ": " + line(*c.Lacks)
		}
		fmt.Fprintf(table, "%s/%s\t%s\n", line(c.Agent), line(c.Model), verdict)
	}
	if err := table.Flush(); err != nil {
		return err
	}
	if len(e.Attempts) > 0 {
		fmt.Fprintln(table, "\nATTEMPT\tASKED\tRESULT\tAFTER\tERROR")
	}
	for i, a := range e.Attempts {
		asked := line(a.Agent) + "/" + line(a.Model)
		if a.Hedge {
			asked += " beside it"
		}
		if a.Waited > 0 {
			asked += fmt.Sprintf(" again, after %v", lasted(a.Waited))
		}
		fmt.Fprintf(table, "%d\t%s\t%s\t%v\t%s\n", i+1, asked, strings.ReplaceAll(a.Result, "_", " "), lasted(a.Took), a.Error)
	}
	if err := table.Flush(); err != nil {
		return err
	}
	if e.Stopped != nil {
		fmt.Fprintf(out, "\nno other was asked: %s\n", *e.Stopped)
	}
	end := ""
	if e.Error != nil {
		end = ": " + e.Error.String()
	}
	_, err := fmt.Fprintf(out, "\n%s after %v%s\n", e.Status, lasted(e.Took), end)
	return err
}

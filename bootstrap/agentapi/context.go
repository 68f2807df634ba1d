package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"
)

func contextCommand() *cobra.Command {
	c := &cobra.Command{
		Use: "context", Short: "See and choose the servers that you are logged in to", Args: cobra.NoArgs,
		Long: "See and choose the servers that you are logged in to.\n\n" +
			"agentapi login makes a context, which is the current one from then on. Every command that talks to a server\n" +
			"takes --context NAME; else AGENTAPI_URL and AGENTAPI_TOKEN, else the current context, else what the data\n" +
			"folder of this machine's server says.",
		RunE: func(c *cobra.Command, _ []string) error { return c.Help() },
	}
	c.AddCommand(contextList(), contextUse(), contextShow(), contextRemove())
	return c
}

// shownContext is a context without what is secret in it.
type shownContext struct {
	Name    string     `json:"name"`
	Current bool       `json:"current"`
	URL     string     `json:"url"`
	User    string     `json:"user"`
	Key     string     `json:"api_key_id"`
	Expires *time.Time `json:"expires_at"`
}

func (c *contexts) shown(name string) shownContext {
	a := c.All[name]
	s := shownContext{Name: name, Current: name == c.Current, URL: a.URL, User: a.User, Key: a.Key}
	if !a.Expires.IsZero() {
		s.Expires = &a.Expires
	}
	return s
}

func contextList() *cobra.Command {
	var asJSON bool
	c := &cobra.Command{
		Use: "list", Short: "List the contexts; a star marks the current one", Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			all, err := readContexts()
			if err != nil {
				return err
			}
			list := []shownContext{}
			for _, name := range slices.Sorted(maps.Keys(all.All)) {
				list = append(list, all.shown(name))
			}
			if asJSON {
				return asJSONLine(c, list)
			}
			table := tabwriter.NewWriter(c.OutOrStdout(), 0, 0, 2, ' ', 0)
			fmt.Fprintln(table, "CURRENT\tNAME\tURL\tUSER\tEXPIRES")
			for _, s := range list {
				mark := ""
				if s.Current {
					mark = "*"
				}
				fmt.Fprintf(table, "%s\t%s\t%s\t%s\t%s\n", mark, line(s.Name), line(s.URL), line(s.User), day(s.Expires))
			}
			return table.Flush()
		},
	}
	output(c, &asJSON)
	return c
}

func contextUse() *cobra.Command {
	return &cobra.Command{
		Use: "use NAME", Short: "Make a context the current one", Args: cobra.ExactArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			all, err := readContexts()
			if err != nil {
				return err
			}
			name, a, err := all.choose(args[0])
			if err != nil {
				return err
			}
			all.Current = name
			if err := all.write(); err != nil {
				return err
			}
			fmt.Fprintf(c.OutOrStdout(), "now at %s\n", line(a.URL))
			return nil
		},
	}
}

func contextShow() *cobra.Command {
	var asJSON bool
	c := &cobra.Command{
		Use: "show [NAME]", Short: "Show a context, without its credential; the current one if no name is given", Args: cobra.MaximumNArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			all, err := readContexts()
			if err != nil {
				return err
			}
			name, a, err := all.choose(append(args, "")[0])
			if err != nil {
				return err
			}
			if a == nil {
				return errNoContext()
			}
			s := all.shown(name)
			if asJSON {
				return asJSONLine(c, s)
			}
			out := c.OutOrStdout()
			fmt.Fprintf(out, "name     %s\nurl      %s\nuser     %s\n", line(name), line(s.URL), line(s.User))
			if s.Key != "" {
				fmt.Fprintf(out, "key      %s\n", line(s.Key))
			}
			fmt.Fprintf(out, "expires  %s\n", day(s.Expires))
			return nil
		},
	}
	output(c, &asJSON)
	return c
}

func contextRemove() *cobra.Command {
	return &cobra.Command{
		Use: "remove NAME", Short: "Forget a context; agentapi logout revokes its key as well", Args: cobra.ExactArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			all, err := readContexts()
			if err != nil {
				return err
			}
			name, a, err := all.choose(args[0])
			if err != nil {
				return err
			}
			if err := all.remove(name); err != nil {
				return err
			}
			fmt.Fprintf(c.OutOrStdout(), "removed %s\n", line(name))
			if a.Key != "" {
				fmt.Fprintf(c.ErrOrStderr(), "Its API key %s stays good until it expires or is revoked.\n", line(a.Key))
			}
			return nil
		},
	}
}

// remove forgets a context; no other one becomes the current one by that.
func (c *contexts) remove(name string) error {
	delete(c.All, name)
	if c.Current == name {
		c.Current = ""
	}
	return c.write()
}

func errNoContext() error {
	return &exit{code: exitUsage, err: errors.New("there is no current context"), fix: "make one with agentapi login, or choose one with agentapi context use"}
}

func asJSONLine(c *cobra.Command, v any) error {
	if err := json.NewEncoder(c.OutOrStdout()).Encode(v); err != nil {
		return &exit{code: exitError, err: err}
	}
	return nil
}

package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/url"
	"text/tabwriter"

	"github.com/spf13/cobra"
)

// listing is how a list is asked for.
type listing struct {
	limit  int
	asJSON bool
}

// flags are those of a command that lists something.
func (l *listing) flags(c *cobra.Command, usual int) {
	c.Flags().IntVar(&l.limit, "limit", usual, "how many at most")
	output(c, &l.asJSON)
}

// showAll prints what a server has at a path: as JSON, or as a table with a row for each,
// whose cells stand between tabs.
func showAll[T any](c *cobra.Command, cl *client, path string, query url.Values, l listing, head string, row func(T) string) error {
	if l.limit < 1 {
		return &exit{code: exitUsage, err: errors.New("--limit must be at least 1")}
	}
	found, err := cl.all(c.Context(), path, query, l.limit)
	if err != nil {
		return err
	}
	if l.asJSON {
		return printJSON(c.OutOrStdout(), found)
	}
	table := tabwriter.NewWriter(c.OutOrStdout(), 0, 0, 2, ' ', 0)
	fmt.Fprintln(table, head)
	for _, raw := range found {
		var v T
		if err := json.Unmarshal(raw, &v); err != nil {
			return notOurs(err)
		}
		fmt.Fprintln(table, row(v))
	}
	return table.Flush()
}

func printJSON(out io.Writer, list []json.RawMessage) error {
	if list == nil {
		list = []json.RawMessage{}
	}
	if err := json.NewEncoder(out).Encode(list); err != nil {
		return &exit{code: exitError, err: err}
	}
	return nil
}

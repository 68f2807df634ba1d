package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"agentapi/domain/quota"
)

// whoseLimits are flags that say whose limits are meant.
type whoseLimits struct{ org, user, key string }

func (w *whoseLimits) path(c *cobra.Command, cl *client) (string, error) {
	path, err := orgPath(c, cl, w.org)
	if w.user != "" {
		path += "/members/" + url.PathEscape(w.user)
	}
	if w.key != "" {
		path += "/api-keys/" + url.PathEscape(w.key)
	}
	return path + "/limits", err
}

func limitsCommand() *cobra.Command {
	var of whoseLimits
	c := &cobra.Command{
		Use: "limits", Short: "Show and change what may be used, on a running server", Args: cobra.NoArgs,
		Long: "Show and change what an organisation, a member or an API key may use, on a running server, which is found as agentapi chat finds it.",
		RunE: func(c *cobra.Command, _ []string) error { return c.Help() },
	}
	c.PersistentFlags().StringVar(&of.org, "org", "", "the organisation's id (org_…); your own if absent")
	c.PersistentFlags().StringVar(&of.user, "user", "", "the member whose limits are meant (user_…)")
	c.PersistentFlags().StringVar(&of.key, "key", "", "the API key whose limits are meant (key_…); without it and --user the organisation's")
	c.MarkFlagsMutuallyExclusive("user", "key")
	c.AddCommand(limitsShow(&of), limitsSet(&of))
	return c
}

func limitsShow(of *whoseLimits) *cobra.Command {
	var asJSON bool
	c := &cobra.Command{
		Use: "show", Short: "Show what holds, and where each limit is from", Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error { return limitsSend(c, of, http.MethodGet, nil, asJSON) },
	}
	output(c, &asJSON)
	return c
}

func limitsSet(of *whoseLimits) *cobra.Command {
	return &cobra.Command{
		Use: "set LIMIT=NUMBER...", Short: "Give limits; 0 is none, default takes one back", Args: cobra.MinimumNArgs(1),
		Long: "Give limits; 0 is none, default takes one back:\n\n  agentapi limits set requests_per_minute=60 tokens_per_day=default --user user_…",
		RunE: func(c *cobra.Command, args []string) error {
			body := make(map[string]*int64)
			for _, arg := range args {
				name, text, ok := strings.Cut(arg, "=")
				n, err := strconv.ParseInt(text, 10, 64)
				switch {
				case ok && text == "default":
					body[name] = nil
				case !ok || err != nil:
					return &exit{code: exitUsage, err: errors.New("a limit is given as requests_per_minute=60 or requests_per_minute=default")}
				default:
					body[name] = &n
				}
			}
			text, err := json.Marshal(body)
			if err != nil {
				return &exit{code: exitError, err: err}
			}
			return limitsSend(c, of, http.MethodPatch, text, false)
		},
	}
}

// limitsSend asks for limits, or changes them, and shows what holds.
func limitsSend(c *cobra.Command, of *whoseLimits, method string, body []byte, asJSON bool) error {
	cl, err := newClient(c, "")
	if err != nil {
		return err
	}
	path, err := of.path(c, cl)
	if err != nil {
		return err
	}
	raw, err := cl.read(c.Context(), method, path, body)
	if err != nil {
		return err
	}
	if asJSON {
		_, err := fmt.Fprintln(c.OutOrStdout(), string(raw))
		return err
	}
	var got struct {
		Holds map[quota.Bound]struct {
			Limit *int64 `json:"limit"`
			From  string `json:"from"`
		} `json:"effective"`
	}
	if err := json.Unmarshal(raw, &got); err != nil {
		return notOurs(err)
	}
	table := tabwriter.NewWriter(c.OutOrStdout(), 0, 0, 2, ' ', 0)
	fmt.Fprintln(table, "WHAT\tLIMIT\tFROM")
	for _, b := range quota.Bounds() {
		limit := "none"
		if n := got.Holds[b].Limit; n != nil {
			limit = strconv.FormatInt(*n, 10)
		}
		fmt.Fprintf(table, "%s\t%s\t%s\n", b, limit, got.Holds[b].From)
	}
	return table.Flush()
}

package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"strings"

	"github.com/spf13/cobra"
)

// million is how many of the smallest amounts are one of the currency.
const million = 1_000_000

func budgetsCommand() *cobra.Command {
	var org string
	c := &cobra.Command{
		Use: "budgets", Short: "Bound what is spent, and see what was, on a running server", Args: cobra.NoArgs,
		Long: "Bound what an organisation, a user or an API key spends, and see what was, on a running server, which is found as agentapi chat finds it.",
		RunE: func(c *cobra.Command, _ []string) error { return c.Help() },
	}
	c.PersistentFlags().StringVar(&org, "org", "", "the organisation's id (org_…); your own if absent")
	c.AddCommand(budgetsList(&org), budgetsCreate(&org), budgetsEdit(&org), budgetsRemove(&org))
	return c
}

// budgetsPath is where an organisation's budgets are; the caller's own if org is empty.
func budgetsPath(c *cobra.Command, cl *client, org string) (string, error) {
	path, err := orgPath(c, cl, org)
	return path + "/budgets", err
}

// orgPath is where an organisation is; the caller's own if org is empty.
func orgPath(c *cobra.Command, cl *client, org string) (string, error) {
	if org == "" {
		raw, err := cl.read(c.Context(), http.MethodGet, "/api/v1/me", nil)
		if err != nil {
			return "", err
		}
		var me struct {
			Org string `json:"org_id"`
		}
		if err := json.Unmarshal(raw, &me); err != nil {
			return "", notOurs(err)
		}
		org = me.Org
	}
	return "/api/v1/orgs/" + url.PathEscape(org), nil
}

// budget is a budget as the server gives it.
type budget struct {
	ID       string  `json:"id"`
	User     *string `json:"user_id"`
	Key      *string `json:"api_key_id"`
	Period   string  `json:"period"`
	Limit    int64   `json:"limit_micro"`
	Spent    int64   `json:"spent_micro"`
	Reserved int64   `json:"reserved_micro"`
	Left     int64   `json:"left_micro"`
}

func (b *budget) whose() string {
	switch {
	case b.User != nil:
		return *b.User
	case b.Key != nil:
		return *b.Key
	default:
		return "the organisation"
	}
}

// money writes an amount in the whole currency.
func money(micro int64) string { return fmt.Sprintf("%d.%06d", micro/million, micro%million) }

// micro reads an amount in the whole currency, such as 20 or 0.5.
func micro(text string) (int64, error) {
	whole, part, _ := strings.Cut(text, ".")
	n, err := strconv.ParseUint(whole, 10, 32)
	if err == nil && part != "" {
		var m uint64
		if m, err = strconv.ParseUint((part + "000000")[:max(6, len(part))], 10, 32); err == nil && len(part) <= 6 {
			return int64(n)*million + int64(m), nil
		}
	}
	if err != nil || part != "" {
		return 0, &exit{code: exitUsage, err: errors.New("an amount is a number such as 20 or 0.5, with at most six digits after the point")}
	}
	return int64(n) * million, nil
}

func budgetsList(org *string) *cobra.Command {
	var how listing
	c := &cobra.Command{
		Use: "list", Short: "List budgets, as they stand", Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			cl, err := newClient(c, "")
			if err != nil {
				return err
			}
			path, err := budgetsPath(c, cl, *org)
			if err != nil {
				return err
			}
			return showAll(c, cl, path, url.Values{}, how, "ID\tPERIOD\tLIMIT\tSPENT\tRESERVED\tLEFT\tOF", func(b budget) string {
				return fmt.Sprintf("%s\t%s\t%s\t%s\t%s\t%s\t%s", b.ID, b.Period, money(b.Limit), money(b.Spent), money(b.Reserved), money(b.Left), b.whose())
			})
		},
	}
	how.flags(c, 100)
	return c
}

func budgetsCreate(org *string) *cobra.Command {
	var user, key, period string
	c := &cobra.Command{
		Use: "create AMOUNT", Short: "Bound what is spent in a period, in the server's currency", Args: cobra.ExactArgs(1),
		Long: "Bound what is spent in a period, in the server's currency. What was spent since the period began counts, too:\n\n  agentapi budgets create 20 --period month",
		RunE: func(c *cobra.Command, args []string) error {
			limit, err := micro(args[0])
			if err != nil {
				return err
			}
			body := map[string]any{"limit_micro": limit, "period": period}
			if user != "" {
				body["user_id"] = user
			}
			if key != "" {
				body["api_key_id"] = key
			}
			return budgetsSend(c, *org, "", http.MethodPost, body)
		},
	}
	c.Flags().StringVar(&user, "user", "", "the user whom it bounds (user_…)")
	c.Flags().StringVar(&key, "key", "", "the API key that it bounds (key_…); without it and --user the whole organisation")
	c.Flags().StringVar(&period, "period", "month", "day, month or total: when it begins anew, in UTC")
	return c
}

func budgetsEdit(org *string) *cobra.Command {
	return &cobra.Command{
		Use: "set ID AMOUNT", Short: "Change a budget's limit", Args: cobra.ExactArgs(2),
		RunE: func(c *cobra.Command, args []string) error {
			limit, err := micro(args[1])
			if err != nil {
				return err
			}
			return budgetsSend(c, *org, "/"+url.PathEscape(args[0]), http.MethodPatch, map[string]any{"limit_micro": limit})
		},
	}
}

func budgetsRemove(org *string) *cobra.Command {
	return &cobra.Command{
		Use: "remove ID", Short: "Remove a budget", Args: cobra.ExactArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			cl, err := newClient(c, "")
			if err != nil {
				return err
			}
			path, err := budgetsPath(c, cl, *org)
			if err != nil {
				return err
			}
			if _, err := cl.read(c.Context(), http.MethodDelete, path+"/"+url.PathEscape(args[0]), nil); err != nil {
				return err
			}
			fmt.Fprintf(c.OutOrStdout(), "%s is removed\n", line(args[0]))
			return nil
		},
	}
}

// budgetsSend makes or changes a budget and shows how it stands.
func budgetsSend(c *cobra.Command, org, which, method string, body map[string]any) error {
	cl, err := newClient(c, "")
	if err != nil {
		return err
	}
	path, err := budgetsPath(c, cl, org)
	if err != nil {
		return err
	}
	text, err := json.Marshal(body)
	if err != nil {
		return &exit{code: exitError, err: err}
	}
	raw, err := cl.read(c.Context(), method, path+which, text)
	if err != nil {
		return err
	}
	var b budget
	if err := json.Unmarshal(raw, &b); err != nil {
		return notOurs(err)
	}
	_, err = fmt.Fprintf(c.OutOrStdout(), "%s of %s: %s (%s), %s left\n", b.ID, b.whose(), money(b.Limit), b.Period, money(b.Left))
	return err
}

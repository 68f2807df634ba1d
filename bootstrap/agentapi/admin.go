package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"

	"github.com/spf13/cobra"

	"agentapi/application/admin"
	"agentapi/bootstrap"
	"agentapi/domain/fault"
)

func adminCommand(files *[]string) *cobra.Command {
	c := &cobra.Command{
		Use: "admin", Short: "Administer organisations, members and the platform", Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error { return c.Help() },
	}
	c.AddCommand(adminBootstrap(files), adminGet(), adminSend("post", http.MethodPost, "Make what a route of the admin API makes"),
		adminSend("patch", http.MethodPatch, "Change what a route of the admin API names"), adminDelete())
	return c
}

// adminBootstrap appoints the first platform admin, on the storage itself.
func adminBootstrap(files *[]string) *cobra.Command {
	return &cobra.Command{
		Use: "bootstrap ISSUER SUBJECT", Short: "Appoint the first platform admin, where there is none", Args: cobra.ExactArgs(2),
		Long: "Appoint the first platform admin, where there is none: the subject of an issuer, as in the iss and sub of its tokens.\n\n" +
			"This works on the configured storage itself. SQLite's file has one user at a time: stop the server first.",
		RunE: func(c *cobra.Command, args []string) error {
			loaded, err := load(*files, nil)
			if err != nil {
				return err
			}
			dir, err := dataDir()
			if err != nil {
				return err
			}
			err = bootstrap.Administer(c.Context(), loaded.Config, bootstrap.NewSetting(dir, ""), func(s *admin.Service) error {
				u, err := s.Bootstrap(c.Context(), args[0], args[1])
				if err == nil {
					fmt.Fprintf(c.OutOrStdout(), "%s is platform admin: %s at %s\n", u.ID, line(u.Subject), line(u.Issuer))
				}
				return err
			})
			switch {
			case err == nil:
				return nil
			case fault.Is(err, fault.Conflict), fault.Is(err, fault.Invalid):
				return &exit{code: exitError, err: err, fix: fault.As(err).Hint}
			default:
				return startFailed(err)
			}
		},
	}
}

const under = "PATH is what stands after /api/v1/, such as platform/orgs or orgs/org_…/members; the server is found as agentapi chat finds it."

func adminGet() *cobra.Command {
	var limit int
	c := &cobra.Command{
		Use: "get PATH", Short: "Show what a route of the admin API gives, as JSON", Long: "Show what a route of the admin API gives, as JSON.\n\n" + under, Args: cobra.ExactArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			cl, err := newClient(c, "")
			if err != nil {
				return err
			}
			raw, err := cl.read(c.Context(), http.MethodGet, "/api/v1/"+args[0], nil)
			if err != nil {
				return err
			}
			var first struct {
				Object string `json:"object"`
				More   bool   `json:"has_more"`
			}
			if json.Unmarshal(raw, &first) != nil || first.Object != "list" || !first.More {
				return orPrint(c.OutOrStdout(), raw, nil)
			}
			found, err := cl.all(c.Context(), "/api/v1/"+args[0], url.Values{}, limit)
			if err != nil {
				return err
			}
			return printJSON(c.OutOrStdout(), found)
		},
	}
	c.Flags().IntVar(&limit, "limit", 1000, "how many elements of a list at most")
	return c
}

func adminSend(verb, method, short string) *cobra.Command {
	return &cobra.Command{
		Use: verb + " PATH [JSON]", Short: short, Args: cobra.RangeArgs(1, 2),
		Long: short + ". The JSON is read from the standard input if it is absent.\n\n" + under,
		RunE: func(c *cobra.Command, args []string) error {
			var body []byte
			if len(args) == 2 {
				body = []byte(args[1])
			} else {
				text, err := io.ReadAll(io.LimitReader(c.InOrStdin(), 1<<20))
				if err != nil {
					return &exit{code: exitError, err: err}
				}
				body = text
			}
			cl, err := newClient(c, "")
			if err != nil {
				return err
			}
			raw, err := cl.read(c.Context(), method, "/api/v1/"+args[0], body)
			return orPrint(c.OutOrStdout(), raw, err)
		},
	}
}

func adminDelete() *cobra.Command {
	var yes bool
	c := &cobra.Command{
		Use: "delete PATH", Short: "Remove what a route of the admin API names", Long: "Remove what a route of the admin API names.\n\n" + under, Args: cobra.ExactArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			if !yes {
				return &exit{code: exitUsage, err: errors.New("this cannot be undone"), fix: "say that you mean it: agentapi admin delete --yes " + args[0]}
			}
			cl, err := newClient(c, "")
			if err != nil {
				return err
			}
			raw, err := cl.read(c.Context(), http.MethodDelete, "/api/v1/"+args[0], nil)
			return orPrint(c.OutOrStdout(), raw, err)
		},
	}
	c.Flags().BoolVar(&yes, "yes", false, "do it")
	return c
}

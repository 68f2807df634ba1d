package main

import (
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/spf13/cobra"

	"agentapi/application/access"
	"agentapi/application/upkeep"
	"agentapi/bootstrap"
	"agentapi/domain/fault"
	"agentapi/domain/tenancy"
	"agentapi/ports"
)

func lifeCommand(files *[]string) *cobra.Command {
	c := &cobra.Command{
		Use: "data", Short: "Remove what is old, export or erase what is a user's", Args: cobra.NoArgs,
		Long: "Remove what is old by the configured retention, or all that is stored of a user.\n\n" +
			"These commands work on the configured storage itself. SQLite's file has one user at a time: stop the server first.",
		RunE: func(c *cobra.Command, _ []string) error { return c.Help() },
	}
	c.AddCommand(retainCommand(files), exportCommand(files), eraseCommand(files))
	return c
}

// upkeeping runs do on the configured storage.
func upkeeping(c *cobra.Command, files []string, do func(*upkeep.Service) error) error {
	loaded, err := load(files, nil)
	if err != nil {
		return err
	}
	dir, err := dataDir()
	if err != nil {
		return err
	}
	err = bootstrap.Upkeep(c.Context(), loaded.Config, bootstrap.NewSetting(dir, ""), do)
	switch e := (*exit)(nil); {
	case err == nil, errors.As(err, &e):
		return err
	case fault.Is(err, fault.Invalid):
		return &exit{code: exitConfig, err: err, fix: "agentapi config schema describes every setting"}
	case fault.Is(err, fault.Conflict):
		return &exit{code: exitError, err: err, fix: "nothing needs to be done: one server at a time removes what is old"}
	default:
		return startFailed(err)
	}
}

func retainCommand(files *[]string) *cobra.Command {
	var dry bool
	c := &cobra.Command{
		Use: "retain", Short: "Remove now what is older than the configured retention", Args: cobra.NoArgs,
		Long: "Remove now what is older than the configured retention. Servers do so by themselves, every retention.every.",
		RunE: func(c *cobra.Command, _ []string) error {
			return upkeeping(c, *files, func(s *upkeep.Service) error {
				if dry {
					n, err := s.Pending(c.Context())
					if err == nil {
						fmt.Fprintf(c.OutOrStdout(), "would remove %d sessions, %d usage records, %d changes of agents' health\n", n.Sessions, n.Usage, n.Health)
					}
					return err
				}
				n, err := s.Sweep(c.Context())
				swept(c.OutOrStdout(), n)
				return err
			})
		},
	}
	c.Flags().BoolVar(&dry, "dry-run", false, "only count what would go")
	return c
}

func swept(out io.Writer, n ports.Swept) {
	fmt.Fprintf(out, "removed %d sessions, %d usage records, %d idempotency results, %d changes of agents' health\n", n.Sessions, n.Usage, n.Results, n.Health)
}

func exportCommand(files *[]string) *cobra.Command {
	var org, user, path string
	c := &cobra.Command{
		Use: "export", Short: "Write all that is stored of a user to a file", Args: cobra.NoArgs,
		Long: "Write all that is stored of a user in an organisation to a file that only you can read, one JSON object\n" +
			"to a line: sessions, each followed by its messages, and usage. The last line counts them and has the\n" +
			"SHA-256 of all before it.",
		Example: "  agentapi data export --org dev/acme --user dev/ann --out ann.jsonl",
		RunE: func(c *cobra.Command, _ []string) (err error) {
			in, err := whose(org, user)
			if err != nil {
				return err
			}
			if path == "" {
				return &exit{code: exitUsage, err: errors.New("an export needs a file"), fix: "name one that is not there yet: --out ann.jsonl"}
			}
			return upkeeping(c, *files, func(s *upkeep.Service) error {
				file, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
				if err != nil {
					return &exit{code: exitError, err: err, fix: "name a file that is not there yet"}
				}
				done, err := s.Export(c.Context(), in, file)
				if err = errors.Join(err, file.Close()); err != nil {
					return errors.Join(err, os.Remove(path)) // a part would be taken for the whole
				}
				fmt.Fprintf(c.OutOrStdout(), "exported %d sessions, %d messages, %d usage records, sha256 %s\n", done.Sessions, done.Messages, done.Usage, done.SHA256)
				return nil
			})
		},
	}
	c.Flags().StringVar(&org, "org", "", "the organisation: its id (org_…), or issuer and name (dev/acme)")
	c.Flags().StringVar(&user, "user", "", "the user: their id (user_…), or issuer and subject (dev/ann)")
	c.Flags().StringVar(&path, "out", "", "the file to write; it must not be there yet")
	return c
}

func eraseCommand(files *[]string) *cobra.Command {
	var (
		org, user string
		yes       bool
	)
	c := &cobra.Command{
		Use: "erase", Short: "Remove all that is stored of a user", Args: cobra.NoArgs,
		Long: "Remove all that is stored of a user in an organisation: conversations, the results of keyed requests,\n" +
			"the membership with its API keys, and the user, where no other organisation has them.\n" +
			"What the user consumed stays in the account as numbers, under a pseudonym that leads nowhere.",
		Example: "  agentapi data erase --org dev/acme --user dev/ann --yes",
		RunE: func(c *cobra.Command, _ []string) error {
			in, err := whose(org, user)
			if err != nil {
				return err
			}
			if !yes {
				return &exit{code: exitUsage, err: errors.New("what is erased cannot be brought back"), fix: "say that you mean it: --yes"}
			}
			return upkeeping(c, *files, func(s *upkeep.Service) error {
				n, err := s.Erase(c.Context(), in)
				if err == nil && n == 0 {
					return &exit{code: exitError, err: errors.New("nothing is stored of this user"), fix: "see that --org and --user name them as their tokens do"}
				}
				fmt.Fprintf(c.OutOrStdout(), "erased %d rows\n", n)
				return err
			})
		},
	}
	c.Flags().StringVar(&org, "org", "", "the organisation: its id (org_…), or issuer and name (dev/acme)")
	c.Flags().StringVar(&user, "user", "", "the user: their id (user_…), or issuer and subject (dev/ann)")
	c.Flags().BoolVar(&yes, "yes", false, "do not ask")
	return c
}

// whose is the user whom the flags name.
func whose(org, user string) (in tenancy.Scope, err error) {
	if org == "" || user == "" {
		return in, &exit{code: exitUsage, err: errors.New("it is not said whose data is meant"), fix: "name them by id, or by issuer and name: --org dev/acme --user dev/ann"}
	}
	o, err := access.Org(org)
	if err != nil {
		return in, &exit{code: exitUsage, err: fmt.Errorf("--org: %w", err)}
	}
	u, err := access.User(user)
	if err != nil {
		return in, &exit{code: exitUsage, err: fmt.Errorf("--user: %w", err)}
	}
	return tenancy.OnBehalf(o, u), nil
}

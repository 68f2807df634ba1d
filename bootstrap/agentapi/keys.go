package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/spf13/cobra"
)

func keysCommand() *cobra.Command {
	var org string
	c := &cobra.Command{
		Use: "keys", Short: "Make, see and revoke API keys on a running server", Args: cobra.NoArgs,
		Long: "Make, see and revoke API keys on a running server, which is found as agentapi chat finds it.\n\n" +
			"They are your own, unless --org names an organisation that you administer: then they are its service accounts'.",
		RunE: func(c *cobra.Command, _ []string) error { return c.Help() },
	}
	c.PersistentFlags().StringVar(&org, "org", "", "the organisation's id (org_…); your own keys if absent")
	path := func() string {
		if org == "" {
			return "/api/v1/me/api-keys"
		}
		return "/api/v1/orgs/" + url.PathEscape(org) + "/api-keys"
	}
	c.AddCommand(keysList(path), keysCreate(path, &org), keysRotate(path), keysRevoke(path))
	return c
}

// apiKey is a key as the server gives it.
type apiKey struct {
	ID       string     `json:"id"`
	Name     string     `json:"name"`
	Hint     string     `json:"hint"`
	Key      string     `json:"key"`
	Role     string     `json:"role"`
	Status   string     `json:"status"`
	Expires  *time.Time `json:"expires_at"`
	LastUsed *time.Time `json:"last_used_at"`
}

func day(t *time.Time) string {
	if t == nil {
		return "never"
	}
	return t.Format(time.RFC3339)
}

func keysList(path func() string) *cobra.Command {
	var how listing
	c := &cobra.Command{
		Use: "list", Short: "List keys, revoked and expired ones too", Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			cl, err := newClient(c, "")
			if err != nil {
				return err
			}
			return showAll(c, cl, path(), url.Values{}, how, "ID\tSTATUS\tROLE\tEXPIRES\tLAST USED\tKEY\tNAME", func(k apiKey) string {
				return fmt.Sprintf("%s\t%s\t%s\t%s\t%s\t%s\t%s", k.ID, k.Status, k.Role, day(k.Expires), day(k.LastUsed), line(k.Hint), line(k.Name))
			})
		},
	}
	how.flags(c, 100)
	return c
}

func keysCreate(path func() string, org *string) *cobra.Command {
	var (
		role, service    string
		scim             bool
		models, networks []string
		expires          time.Duration
	)
	c := &cobra.Command{
		Use: "create NAME", Short: "Make a key and show it, this once", Args: cobra.ExactArgs(1),
		Long: "Make a key and show it, this once. The key alone goes to the standard output, so that it can be kept:\n\n  agentapi keys create laptop > key.txt",
		RunE: func(c *cobra.Command, args []string) error {
			body := map[string]any{"name": args[0]}
			if role != "" {
				body["role"] = role
			}
			if (service != "") != (*org != "") {
				return &exit{code: exitUsage, err: errors.New("--service names a service account of the organisation that --org names: give both, or none")}
			}
			if scim && service == "" {
				return &exit{code: exitUsage, err: errors.New("--scim is for the key of a service account: give --org and --service, too")}
			}
			if service != "" {
				body["service"] = service
				if scim {
					body["scim"] = true
				}
			}
			if len(models) > 0 {
				body["models"] = models
			}
			if len(networks) > 0 {
				body["networks"] = networks
			}
			if expires > 0 {
				body["expires_at"] = time.Now().Add(expires).UTC().Format(time.RFC3339)
			}
			return made(c, path(), body)
		},
	}
	c.Flags().StringVar(&role, "role", "", "the most that the key may be; org_member if absent")
	c.Flags().BoolVar(&scim, "scim", false, "with --service: for an identity provider, which provisions the organisation by SCIM; the key does nothing else")
	c.Flags().StringVar(&service, "service", "", "with --org: the service account, which is made if it is not there")
	c.Flags().StringSliceVar(&models, "model", nil, "a model that the key is for; one that ends in * is a prefix (again: another)")
	c.Flags().StringSliceVar(&networks, "network", nil, "from where the key may be used, such as 10.0.0.0/8 (again: another)")
	c.Flags().DurationVar(&expires, "expires", 0, "after how long the key ends, such as 720h; never if absent")
	return c
}

func keysRotate(path func() string) *cobra.Command {
	var grace time.Duration
	c := &cobra.Command{
		Use: "rotate ID", Short: "Make a key in another's place and show it, this once", Args: cobra.ExactArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			return made(c, path()+"/"+url.PathEscape(args[0])+"/rotate", map[string]any{"grace_seconds": int(grace.Seconds())})
		},
	}
	c.Flags().DurationVar(&grace, "grace", 24*time.Hour, "how long the old key stays good")
	return c
}

// made asks for a key and shows it: the credential for programs, the rest for people.
func made(c *cobra.Command, path string, body map[string]any) error {
	cl, err := newClient(c, "")
	if err != nil {
		return err
	}
	text, err := json.Marshal(body)
	if err != nil {
		return &exit{code: exitError, err: err}
	}
	raw, err := cl.read(c.Context(), http.MethodPost, path, text)
	if err != nil {
		return err
	}
	var k apiKey
	if err := json.Unmarshal(raw, &k); err != nil {
		return notOurs(err)
	}
	fmt.Fprintf(c.ErrOrStderr(), "%s is %s, as %s; it expires %s. It is not shown again.\n", k.ID, line(k.Name), k.Role, day(k.Expires))
	_, err = io.WriteString(c.OutOrStdout(), strings.TrimSpace(k.Key)+"\n")
	return err
}

func keysRevoke(path func() string) *cobra.Command {
	return &cobra.Command{
		Use: "revoke ID", Short: "End a key at once", Args: cobra.ExactArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			cl, err := newClient(c, "")
			if err != nil {
				return err
			}
			raw, err := cl.read(c.Context(), http.MethodDelete, path()+"/"+url.PathEscape(args[0]), nil)
			if err != nil {
				return err
			}
			var k apiKey
			if err := json.Unmarshal(raw, &k); err != nil {
				return notOurs(err)
			}
			fmt.Fprintf(c.OutOrStdout(), "%s is %s\n", k.ID, k.Status)
			return nil
		},
	}
}

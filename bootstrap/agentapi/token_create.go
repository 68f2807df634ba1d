package main

import (
	"fmt"
	"slices"
	"strings"

	"github.com/goccy/go-yaml"
	"github.com/spf13/cobra"

	"agentapi/adapters/identity/dev"
	"agentapi/domain/tenancy"
)

// tokenCreate makes an entry of the development identity. It changes nothing: what
// a server takes stands in its configuration.
func tokenCreate(files *[]string) *cobra.Command {
	var t dev.Token
	c := &cobra.Command{
		Use: "create USER", Short: "Make a token for a caller of the development identity, as an entry to configure", Args: cobra.ExactArgs(1),
		Long: "Make a token for a caller of the development identity (driver dev), and print the entry of the configuration\n" +
			"that has a server take it from its next start on. A file of its own can be laid over another:\n\n" +
			"  agentapi token create ann --org acme --role org_admin > ann.yaml\n" +
			"  agentapi serve --config agentapi.yaml --config ann.yaml\n\n" +
			"On a running server, make an API key: agentapi keys create.",
		RunE: func(c *cobra.Command, args []string) error {
			t.User, t.Token = args[0], newDevToken()
			if err := (&dev.Options{Tokens: []dev.Token{t}}).Validate(); err != nil {
				return &exit{code: exitUsage, err: err}
			}
			loaded, err := load(*files, nil)
			if err != nil {
				return err
			}
			over := map[string]any{"identity": map[string]any{"dev": map[string]any{"tokens": []dev.Token{t}}}}
			text, err := yaml.MarshalWithOptions(over, yaml.IndentSequence(true))
			if err != nil {
				return &exit{code: exitError, err: err}
			}
			if _, err := c.OutOrStdout().Write(text); err != nil {
				return &exit{code: exitError, err: err}
			}
			if loaded.Has("identity.dev.tokens") {
				fmt.Fprintln(c.ErrOrStderr(), "identity.dev.tokens lists others already: put the entry among them, since a list that is laid over replaces them.")
			}
			if !slices.Contains(loaded.Identity.Chain, "dev") {
				fmt.Fprintf(c.ErrOrStderr(), "identity.chain is [%s]: the token is taken where dev stands in it, too.\n", strings.Join(loaded.Identity.Chain, ", "))
			}
			return nil
		},
	}
	c.Flags().StringVar(&t.Org, "org", "dev", "the organisation that the caller acts in")
	c.Flags().StringVar(&t.Role, "role", string(tenancy.OrgMember), "what the caller may do")
	return c
}

// tokenEnv prints what OpenAI's clients read of the environment.
func tokenEnv() *cobra.Command {
	return &cobra.Command{
		Use: "env", Short: "Print the variables by which OpenAI's clients find the server, with its token", Args: cobra.NoArgs,
		Long: "Print the variables by which OpenAI's clients find the server, with its token, for a shell to read:\n\n" +
			"  eval \"$(agentapi token env)\"",
		RunE: func(c *cobra.Command, _ []string) error {
			cl, err := newClient(c, "")
			if err != nil {
				return err
			}
			if cl.token == "" {
				return &exit{code: exitError, err: fmt.Errorf("there is no credential for %s", line(cl.url)), fix: "log in with agentapi login, or set AGENTAPI_TOKEN"}
			}
			_, err = fmt.Fprintf(c.OutOrStdout(), "export OPENAI_BASE_URL=%s\nexport OPENAI_API_KEY=%s\n", quoted(cl.url+"/v1"), quoted(cl.token))
			return err
		},
	}
}

// quoted is a text as one word of a shell.
func quoted(s string) string { return "'" + strings.ReplaceAll(s, "'", `'\''`) + "'" }

package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"

	"github.com/spf13/cobra"
	"go.uber.org/fx"
	"go.uber.org/zap"

	"agentapi/adapters/identity/oidc"
	"agentapi/bootstrap"
	"agentapi/configs"
	"agentapi/domain/fault"
	"agentapi/ports"
)

func tokenCommand(files *[]string) *cobra.Command {
	token := &cobra.Command{Use: "token", Short: "Make, use and look into callers' tokens", Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error { return c.Help() }}
	token.AddCommand(tokenCreate(files), inspectCommand(files))
	token.AddCommand(talksToServer(tokenEnv())...)
	return token
}

func inspectCommand(files *[]string) *cobra.Command {
	return &cobra.Command{
		Use: "inspect TOKEN", Short: "Decode a JWT and say whether it would be taken, check by check", Args: cobra.ExactArgs(1),
		Long: "Decode a JWT and say whether it would be taken, check by check.\n\nWith - for TOKEN it is read from the standard input, so that no shell keeps it.\nEnds with 5 if it would be refused, with 4 if that cannot be told now.",
		RunE: func(c *cobra.Command, args []string) error {
			bearer := args[0]
			if bearer == "-" {
				text, err := io.ReadAll(io.LimitReader(c.InOrStdin(), 1<<16))
				if err != nil {
					return &exit{code: exitError, err: err}
				}
				bearer = strings.TrimSpace(string(text))
			}
			loaded, err := load(*files, nil)
			if err != nil {
				return err
			}
			return inspect(c.Context(), c.OutOrStdout(), loaded.Config, bearer)
		},
	}
}

// inspect shows what is in a token, and what each check says of it.
func inspect(ctx context.Context, out io.Writer, c *configs.Config, bearer string) error {
	header, claims, err := oidc.Decode(bearer)
	if err == nil {
		show(out, "Header", header)
		show(out, "Claims", claims)
	}
	provider, err := loginBy(c)
	if err != nil {
		return err
	}
	if provider == nil {
		return &exit{code: exitRefused, err: errors.New("no JWT is taken: oidc is not in identity.chain"), fix: "name a provider in identity.oidc.issuers, or set WORKOS_CLIENT_ID or OIDC_ISSUER"}
	}
	defer func() { _ = provider.Stop(ctx) }()
	var refused, unsure bool
	fmt.Fprintln(out, "Checks")
	for _, v := range provider.Inspect(ctx, bearer) {
		mark, text := "✓", v.Found
		switch {
		case fault.Is(v.Err, fault.Unavailable):
			mark, text, unsure = "?", v.Err.Error(), true
		case v.Err != nil:
			mark, text, refused = "✗", v.Err.Error(), true
		}
		fmt.Fprintf(out, "  %s %-10s %s\n", mark, v.Check, strings.ReplaceAll(text, "\n", "; "))
	}
	switch {
	case refused:
		return &exit{code: exitRefused, err: errors.New("the token would be refused")}
	case unsure:
		return &exit{code: exitDependency, err: errors.New("whether the token is good cannot be told now"), fix: "agentapi doctor says what is wrong with the provider"}
	}
	fmt.Fprintln(out, "The token would be taken.")
	return nil
}

func show(out io.Writer, title string, all map[string][]byte) {
	fmt.Fprintln(out, title)
	for _, name := range slices.Sorted(maps.Keys(all)) {
		fmt.Fprintf(out, "  %-12q %s\n", name, all[name])
	}
}

// loginBy opens the identity that checks JWTs, or gives nil if there is none.
func loginBy(c *configs.Config) (*oidc.Identity, error) {
	var chain []ports.Authenticator
	app := bootstrap.App(c, bootstrap.NewSetting("", ""), zap.NewNop(), fx.Populate(&chain))
	if err := app.Err(); err != nil {
		return nil, &exit{code: exitConfig, err: bootstrap.Cause(err), fix: "agentapi config validate"}
	}
	return provider(chain), nil
}

func provider(chain []ports.Authenticator) *oidc.Identity {
	for _, a := range chain {
		if o, ok := a.(*oidc.Identity); ok {
			return o
		}
	}
	return nil
}

package configs

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestVariablesNameAProviderOfLogins(t *testing.T) {
	for name, c := range map[string]struct {
		environ []string
		file    string
		want    []string // in what is printed
	}{
		"nothing": {nil, "", []string{"chain: [dev, apikey]"}},
		"a WorkOS client": {[]string{"WORKOS_CLIENT_ID=client_1"}, "", []string{
			"chain: [oidc, apikey]", `issuer: ["https://api.workos.com", "https://api.workos.com/user_management/client_1"]`,
			`jwks_url: "https://api.workos.com/sso/jwks/client_1"`,
		}},
		"AuthKit's keys": {[]string{"AUTHKIT_JWKS_URL=https://api.workos.com/sso/jwks/client_2", "OIDC_AUDIENCE=api"}, "", []string{
			`issuer: ["https://api.workos.com", "https://api.workos.com/user_management/client_2"]`, "audience: [api]",
		}},
		"keys elsewhere": {[]string{"AUTHKIT_JWKS_URL=https://auth.example/jwks", "OIDC_ISSUER=https://auth.example"}, "", []string{
			`issuer: ["https://auth.example"]`, `jwks_url: "https://auth.example/jwks"`,
		}},
		"the issuer overrides": {[]string{"WORKOS_CLIENT_ID=client_1", "OIDC_ISSUER=https://auth.example, https://two.example"}, "", []string{
			`issuer: ["https://auth.example", "https://two.example"]`, `jwks_url: "https://api.workos.com/sso/jwks/client_1"`,
		}},
		"a client to log in by": {[]string{"OIDC_ISSUER=https://auth.example", "OIDC_CLIENT_ID=cli"}, "", []string{"client_id: cli"}},
		"discovery of two":      {[]string{"OIDC_ISSUER=[https://a.example, https://b.example]"}, "", []string{`issuer: ["https://a.example"]`, `issuer: ["https://b.example"]`}},
		"a chain of one's own":  {[]string{"WORKOS_CLIENT_ID=client_1"}, "identity: {chain: [oidc, dev]}", []string{"chain: [oidc, dev]"}},
		"a chain by a variable": {[]string{"WORKOS_CLIENT_ID=client_1", "AGENTAPI_IDENTITY__CHAIN=[dev]"}, "", []string{"chain: [dev]"}},
		"issuers in the file":   {[]string{"OIDC_ISSUER=https://x.example"}, "identity: {oidc: {issuers: [{issuer: 'https://a.example'}]}}", []string{"chain: [oidc, apikey]", `issuer: "https://a.example"`}},
	} {
		t.Run(name, func(t *testing.T) {
			loaded, err := loadOIDC(t, c.file, c.environ)
			if err != nil {
				t.Fatal(err)
			}
			text := loaded.Print(false)
			for _, want := range c.want {
				if !strings.Contains(text, want) {
					t.Errorf("%s is not in\n%s", want, text)
				}
			}
		})
	}
}

func TestVariablesThatNameNoProviderStopTheStart(t *testing.T) {
	for _, c := range []struct{ environ, want string }{
		{"OIDC_AUDIENCE=api", "names no provider"},
		{"OIDC_CLIENT_ID=cli", "OIDC_CLIENT_ID: it names no provider"},
		{"AUTHKIT_JWKS_URL=https://auth.example/jwks", "does not tell the issuer"},
		{"WORKOS_CLIENT_ID=client_/../x", "no client's id"},
		{"WORKOS_CLIENT_ID=sk_test_1", "no client's id"},
	} {
		if _, err := loadOIDC(t, "", []string{c.environ}); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: got %v", c.environ, err)
		}
	}
}

func TestOneNameWillDoForAList(t *testing.T) {
	loaded, err := loadOIDC(t, "identity: {oidc: {issuers: [{issuer: 'https://a.example'}, {issuer: ['https://b.example']}]}}", nil)
	if err != nil {
		t.Fatal(err)
	}
	var into struct {
		Issuers []struct {
			Issuer many `yaml:"issuer"`
		} `yaml:"issuers"`
	}
	if err := loaded.Decode("identity.oidc", &into); err != nil || len(into.Issuers) != 2 || into.Issuers[0].Issuer[0] != "https://a.example" || into.Issuers[1].Issuer[0] != "https://b.example" {
		t.Errorf("got %+v, %v", into, err)
	}
}

type many []string

func (many) OneOrMany() {}

func loadOIDC(t *testing.T, file string, environ []string) (*Loaded, error) {
	t.Helper()
	s := Sources{Environ: environ, Drivers: func(path string) bool {
		return path == "identity.oidc" || path == "storage.postgres" || path == "cache.redis"
	}}
	if file != "" {
		name := filepath.Join(t.TempDir(), "agentapi.yaml")
		if err := os.WriteFile(name, []byte("version: 1\n"+file+"\n"), 0o600); err != nil {
			t.Fatal(err)
		}
		s.Files = []string{name}
	}
	return Load(s)
}

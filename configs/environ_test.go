package configs

import (
	"strings"
	"testing"
)

func TestAVariableThatCannotChooseADriverSaysSo(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		environ []string
		file    string
		driver  string
		notice  string
	}{
		"nothing says otherwise": {[]string{"DATABASE_URL=postgres://x"}, "", "driver: postgres", ""},
		"the file says the same": {[]string{"DATABASE_URL=postgres://x"}, "storage: {driver: postgres}", "driver: postgres", ""},
		"the file says another":  {[]string{"DATABASE_URL=postgres://x"}, "storage: {driver: sqlite}", "driver: sqlite", "DATABASE_URL is set, but storage.driver is sqlite ("},
		"a cache":                {[]string{"REDIS_URL=redis://x"}, "cache: {driver: memory}", "driver: memory", "REDIS_URL is set, but cache.driver is memory ("},
		"a variable chooses":     {[]string{"DATABASE_URL=postgres://x", "AGENTAPI_STORAGE__DRIVER=sqlite"}, "", "driver: sqlite", ""},
		"a chain without logins": {[]string{"WORKOS_CLIENT_ID=client_1"}, "identity: {chain: [dev]}", "chain: [dev]", "WORKOS_CLIENT_ID: identity.chain has no oidc"},
		"a chain with logins":    {[]string{"WORKOS_CLIENT_ID=client_1"}, "identity: {chain: [dev, oidc]}", "chain: [dev, oidc]", ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			loaded, err := loadOIDC(t, c.file, c.environ)
			if err != nil {
				t.Fatal(err)
			}
			if text := loaded.Print(false); !strings.Contains(text, c.driver) {
				t.Errorf("%s is not in\n%s", c.driver, text)
			}
			if said := strings.Join(loaded.Notices, "\n"); c.notice == "" && said != "" || !strings.Contains(said, c.notice) {
				t.Errorf("said is %q, want %q", said, c.notice)
			}
		})
	}
}

func TestASettingWhoseNameEndsInFileHasAVariable(t *testing.T) {
	t.Parallel()
	loaded, err := loadOIDC(t, "", []string{"AGENTAPI_AUDIT__KEY_FILE=/no/such/file.pem"})
	if err != nil {
		t.Fatal(err)
	}
	if got := loaded.Audit.KeyFile; got != "/no/such/file.pem" {
		t.Errorf("audit.key_file is %q", got)
	}
}

package e2e

import (
	"strings"
	"testing"

	"agentapi/test/kit"
)

func TestCommandsBesideARunningServerSayWhereToGoOn(t *testing.T) {
	s := kit.Start(t, kit.Options{})
	env := []string{"AGENTAPI_URL=" + s.URL, "AGENTAPI_TOKEN=" + kit.Token, "AGENTAPI_SERVER__ADDR=" + strings.TrimPrefix(s.URL, "http://")}
	for name, c := range map[string]struct {
		args []string
		code int
		want string // in what is said
	}{
		"doctor knows the server":            {[]string{"doctor"}, 0, "an agentapi serves at"},
		"the file of agents is in use":       {[]string{"agents", "list"}, 4, "agentapi admin get platform/agents"},
		"the file of the log is in use":      {[]string{"audit", "tail"}, 4, "agentapi admin get platform/audit"},
		"an agent's command takes --context": {[]string{"agents", "drain", "demo", "--context", "nowhere"}, 2, `no context "nowhere"`},
		"what is absent is shown":            {[]string{"requests", "explain"}, 2, "agentapi requests explain ID"},
		"what is unknown leads to help":      {[]string{"requests", "show"}, 2, "agentapi requests --help"},
	} {
		out, errs, code := command(t, s.Dir, env, "", c.args...)
		if code != c.code || !strings.Contains(out+errs, c.want) {
			t.Errorf("%s: %d, not %d with %q:\n%s%s", name, code, c.code, c.want, out, errs)
		}
	}
}

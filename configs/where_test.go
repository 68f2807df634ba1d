package configs

import (
	"strings"
	"testing"
)

func TestWhatIsWrongInAListIsSaidWithItsOwnPlace(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct{ file, want string }{
		"an alias":                {"routing:\n  aliases:\n    x:\n      targets: [a/m, zz/y]", "agentapi.yaml:6:22: routing.aliases.x.targets[1]: there is no agent"},
		"an alias that is a list": {"routing:\n  aliases:\n    x: [a/m, zz/y]", "agentapi.yaml:5:14: routing.aliases.x[1]: there is no agent"},
		"what sticks":             {"routing:\n  aliases:\n    x:\n      targets: [a/m]\n      sticky: [user, sesion]", "agentapi.yaml:7:22: routing.aliases.x.sticky[1]: "},
		"the default":             {"routing:\n  default:\n    - a\n    - zz", "agentapi.yaml:6:7: routing.default[1]: there is no agent"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if _, err := loadOIDC(t, "agents: {a: {driver: demo}}\n"+c.file, nil); err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("got %v, want %s", err, c.want)
			}
		})
	}
}

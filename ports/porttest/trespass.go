package porttest

import (
	"context"
	"testing"

	"agentapi/domain/session"
	"agentapi/domain/tenancy"
	"agentapi/ports"
)

// Trespass asks for all that there is to be asked in the scope in of the session
// v, which the asker must not reach. through runs each ask, in a transaction of
// its own. It fails where something that must be there to succeed did; what only
// adds to the scope's own may succeed.
func Trespass(t *testing.T, in tenancy.Scope, v *session.Session, through func(name string, ask func(context.Context, ports.Repositories) error) error) {
	t.Helper()
	for name, ask := range asks(t, in, v) {
		if err := through(name, ask); err == nil && namesSession(name) {
			t.Errorf("%s reaches another's session", name)
		}
	}
}

package memory_test

import (
	"testing"

	"agentapi/adapters/cache/memory"
	"agentapi/ports"
	"agentapi/ports/porttest"
)

func TestTheBulletinKeepsThePortsContract(t *testing.T) {
	t.Parallel()
	porttest.Bulletin(t, func(*testing.T) (one, other ports.Bulletin) {
		b := memory.NewBulletin()
		return b, b
	})
}

package contract

import (
	"testing"

	"agentapi/test/kit"
)

func TestMain(m *testing.M) { kit.Main(m) }

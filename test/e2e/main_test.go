// Package e2e takes the real server through whole journeys, good and bad.
package e2e

import (
	"testing"

	"agentapi/test/kit"
	"agentapi/test/postgres"
	"agentapi/test/redis"
)

func TestMain(m *testing.M) { kit.Main(m, postgres.Stop, redis.Stop) }

package redis

import (
	"sync/atomic"
	"testing"
	"time"

	"agentapi/ports/porttest"
	server "agentapi/test/redis"
)

func TestTheLimiterKeepsThePortsContract(t *testing.T) {
	t.Parallel()
	limiterSuite(t, server.Shared(t))
}

// limiterSuite tests the contract with a clock that is told to Redis.
func limiterSuite(t *testing.T, address string) {
	porttest.Limiter(t, func(t *testing.T, test func(*testing.T, porttest.LimiterBench)) {
		var passed atomic.Int64
		began := time.Now().Truncate(time.Second)
		l := NewLimiter(connect(t, address))
		l.clock = func() time.Time { return began.Add(time.Duration(passed.Load())) }
		test(t, porttest.LimiterBench{Limiter: l, Pass: func(d time.Duration) { passed.Add(int64(d)) }, Back: func(d time.Duration) { passed.Add(-int64(d)) }})
	})
}

//go:build nootel

package bootstrap

import (
	"agentapi/configs"
	"agentapi/domain/fault"
)

// newTracing gives nil: this build sends no traces.
func newTracing(c *configs.Config) (tracing, error) {
	if c.Telemetry.Traces.Endpoint != "" {
		return nil, fault.Invalidf("telemetry.traces.endpoint", "unsupported_value", "telemetry.traces.endpoint: this program was built without traces (nootel)")
	}
	return nil, nil
}

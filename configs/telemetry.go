package configs

import "net"

// Telemetry configures how operators see what the server does.
type Telemetry struct {
	Listen  string  `yaml:"listen" doc:"where metrics and profiles are served, as host:port, where one of them is enabled; keep it from callers"`
	Metrics Metrics `yaml:"metrics"`
	Pprof   bool    `yaml:"pprof" doc:"true: profiles of the process are served at listen, under /debug/pprof/"`
}

// Metrics configures the metrics for Prometheus.
type Metrics struct {
	Enabled bool `yaml:"enabled" doc:"true: GET /metrics is served at telemetry.listen; METRICS_ENABLED"`
	Public  bool `yaml:"public" doc:"true: GET /metrics is served to callers of the API, too, without a credential"`
}

// Counted tells whether anybody can read the metrics.
func (m Metrics) Counted() bool { return m.Enabled || m.Public }

func (t *Telemetry) validate(bad func(path, format string, args ...any)) {
	if _, _, err := net.SplitHostPort(t.Listen); err != nil {
		bad("telemetry.listen", "%q is no host:port, such as 127.0.0.1:6060", t.Listen)
	}
}

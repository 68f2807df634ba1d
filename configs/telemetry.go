package configs

import (
	"net"
	"net/url"
)

// Telemetry configures how operators see what the server does.
type Telemetry struct {
	Listen  string  `yaml:"listen" doc:"where metrics and profiles are served, as host:port, where one of them is enabled; keep it from callers"`
	Metrics Metrics `yaml:"metrics"`
	Traces  Traces  `yaml:"traces"`
	Pprof   bool    `yaml:"pprof" doc:"true: profiles of the process are served at listen, under /debug/pprof/"`
}

// Metrics configures the metrics for Prometheus.
type Metrics struct {
	Enabled bool `yaml:"enabled" doc:"true: GET /metrics is served at telemetry.listen; METRICS_ENABLED"`
	Public  bool `yaml:"public" doc:"true: GET /metrics is served to callers of the API, too, without a credential"`
}

// Traces configures the traces for OpenTelemetry.
type Traces struct {
	Endpoint string  `yaml:"endpoint" doc:"the collector that takes traces by OTLP over HTTP, such as http://127.0.0.1:4318; empty: none are sent; OTEL_EXPORTER_OTLP_ENDPOINT"`
	Sample   float64 `yaml:"sample" doc:"the part of the requests that is traced, from 0 to 1, where their client has not decided"`
	Service  string  `yaml:"service" doc:"this server's name in traces; OTEL_SERVICE_NAME"`
}

// Counted tells whether anybody can read the metrics.
func (m Metrics) Counted() bool { return m.Enabled || m.Public }

func (t *Telemetry) validate(bad func(path, format string, args ...any)) {
	if t.Traces.Sample < 0 || t.Traces.Sample > 1 {
		bad("telemetry.traces.sample", "must be between 0 and 1")
	}
	if e := t.Traces.Endpoint; e != "" {
		if u, err := url.Parse(e); err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "" || u.RawQuery != "" {
			bad("telemetry.traces.endpoint", "it is no address of a collector, such as http://127.0.0.1:4318")
		}
	}
	if _, _, err := net.SplitHostPort(t.Listen); err != nil {
		bad("telemetry.listen", "%q is no host:port, such as 127.0.0.1:6060", t.Listen)
	}
}

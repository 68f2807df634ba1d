// Package prometheus counts what happens, for Prometheus to read. No metric is about a
// tenant, and nothing that a caller says becomes a label.
package prometheus

import (
	"bytes"
	"fmt"
	"net/http"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"
	"github.com/prometheus/common/expfmt"

	"agentapi/ports"
)

// Build is what the program was built of.
type Build struct{ Version, Revision, Go string }

// Metrics keeps the numbers. It is safe for concurrent use; what it is told costs some
// atomic additions, at the end of a request and never for a piece of an answer.
type Metrics struct {
	ports.NopObserver
	registry *prometheus.Registry
	currency string
	sources  Sources
	models   models

	requests, auth, limited, agents, tokens, cost, failovers, audited, failures, cached *prometheus.CounterVec
	took, attempts, first, pace, queries                                                *prometheus.HistogramVec
	inFlight, reloaded, reloadedAt                                                      prometheus.Gauge
	budgets, left, lost                                                                 prometheus.Counter
}

var _ ports.Observer = (*Metrics)(nil)

// New makes a Metrics. Costs are in the currency.
func New(b Build, currency string, started time.Time) *Metrics {
	m := &Metrics{registry: prometheus.NewRegistry(), currency: currency}
	by := make(map[string]Metric)
	for _, d := range Table() {
		by[d.Name] = d
	}
	m.requests, m.took = m.counters(by["agentapi_http_requests_total"]), m.histograms(by["agentapi_http_request_duration_seconds"])
	m.auth, m.limited = m.counters(by["agentapi_auth_failures_total"]), m.counters(by["agentapi_rate_limited_total"])
	m.agents, m.attempts = m.counters(by["agentapi_agent_requests_total"]), m.histograms(by["agentapi_agent_request_duration_seconds"])
	m.first, m.pace = m.histograms(by["agentapi_time_to_first_token_seconds"]), m.histograms(by["agentapi_time_per_output_token_seconds"])
	m.tokens, m.cost = m.counters(by["agentapi_tokens_total"]), m.counters(by["agentapi_cost_total"])
	m.failovers, m.audited = m.counters(by["agentapi_failovers_total"]), m.counters(by["agentapi_audit_events_total"])
	m.queries, m.failures = m.histograms(by["agentapi_storage_query_duration_seconds"]), m.counters(by["agentapi_storage_errors_total"])
	m.cached = m.counters(by["agentapi_cache_ops_total"])
	m.inFlight = m.gauges(by["agentapi_requests_in_flight"]).WithLabelValues()
	m.budgets = m.counters(by["agentapi_budget_refusals_total"]).WithLabelValues()
	m.left = m.counters(by["agentapi_client_disconnects_total"]).WithLabelValues()
	m.lost = m.counters(by["agentapi_lost_total"]).WithLabelValues()
	m.reloaded = m.gauges(by["agentapi_config_last_reload_successful"]).WithLabelValues()
	m.reloadedAt = m.gauges(by["agentapi_config_last_reload_timestamp_seconds"]).WithLabelValues()
	m.gauges(by["agentapi_build_info"]).WithLabelValues(b.Version, b.Revision, b.Go).Set(1)
	m.gauges(by["agentapi_start_time_seconds"]).WithLabelValues().Set(seconds(started))
	m.Reloaded(started, nil)
	m.registry.MustRegister(collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	return m
}

// The vectors are registered once each; a second of a name is a defect that every test
// of the package shows.
func (m *Metrics) counters(d Metric) *prometheus.CounterVec {
	v := prometheus.NewCounterVec(prometheus.CounterOpts{Name: d.Name, Help: d.Help}, d.Labels)
	m.registry.MustRegister(v)
	return v
}

func (m *Metrics) gauges(d Metric) *prometheus.GaugeVec {
	v := prometheus.NewGaugeVec(prometheus.GaugeOpts{Name: d.Name, Help: d.Help}, d.Labels)
	m.registry.MustRegister(v)
	return v
}

func (m *Metrics) histograms(d Metric) *prometheus.HistogramVec {
	v := prometheus.NewHistogramVec(prometheus.HistogramOpts{Name: d.Name, Help: d.Help, Buckets: d.buckets}, d.Labels)
	m.registry.MustRegister(v)
	return v
}

// Reloaded says that the configuration was read again; err is why it was not taken.
func (m *Metrics) Reloaded(at time.Time, err error) {
	m.reloaded.Set(truth(err == nil))
	if err == nil {
		m.reloadedAt.Set(seconds(at))
	}
}

// Handler serves the numbers.
func (m *Metrics) Handler() http.Handler {
	return promhttp.HandlerFor(m.registry, promhttp.HandlerOpts{EnableOpenMetrics: true})
}

// Text gives the numbers as text, of the type TextType.
func (m *Metrics) Text() ([]byte, error) {
	families, err := m.registry.Gather()
	if err != nil {
		return nil, fmt.Errorf("gathering the metrics: %w", err)
	}
	var b bytes.Buffer
	for _, f := range families {
		if _, err := expfmt.MetricFamilyToText(&b, f); err != nil {
			return nil, fmt.Errorf("writing the metrics: %w", err)
		}
	}
	return b.Bytes(), nil
}

func seconds(t time.Time) float64 {
	if t.IsZero() {
		return 0
	}
	return float64(t.UnixNano()) / 1e9
}

func truth(b bool) float64 {
	if b {
		return 1
	}
	return 0
}

package prometheus

import (
	"fmt"
	"strings"
)

// Kind is what a metric is to Prometheus.
type Kind string

// The kinds.
const (
	Counter   Kind = "counter"
	Gauge     Kind = "gauge"
	Histogram Kind = "histogram"
)

// Metric describes one metric.
type Metric struct {
	Name    string
	Kind    Kind
	Labels  []string
	Help    string
	buckets []float64
}

// durations are the buckets of OpenTelemetry's conventions for models, in seconds.
var durations = []float64{.01, .02, .04, .08, .16, .32, .64, 1.28, 2.56, 5.12, 10.24, 20.48, 40.96, 81.92}

// short are buckets for what takes milliseconds, and for the pauses between tokens.
var short = []float64{.0005, .001, .002, .005, .01, .02, .05, .1, .2, .5, 1, 2, 5}

// Table lists all metrics. The names and labels are published: they stay.
func Table() []Metric {
	return []Metric{
		{"agentapi_build_info", Gauge, []string{"version", "revision", "goversion"}, "1, for what this program was built of.", nil},
		{"agentapi_start_time_seconds", Gauge, nil, "When the server started, since 1970.", nil},
		{"agentapi_config_last_reload_successful", Gauge, nil, "1 where the configuration was taken that was read last, else 0.", nil},
		{"agentapi_config_last_reload_timestamp_seconds", Gauge, nil, "When the configuration that serves was read, since 1970.", nil},

		{"agentapi_http_requests_total", Counter, []string{"method", "route", "code"}, "Requests that were answered; code is what the answer came to, also of a stream that failed after its 200, and 499 where the client left.", nil},
		{"agentapi_http_request_duration_seconds", Histogram, []string{"method", "route"}, "From a request's head to its answer's end.", durations},
		{"agentapi_requests_in_flight", Gauge, nil, "Requests that are being answered, streams included.", nil},
		{"agentapi_auth_failures_total", Counter, []string{"reason"}, "Credentials that were refused, by the error's code; missing: there was none.", nil},
		{"agentapi_rate_limited_total", Counter, []string{"scope"}, "Requests that a limit had no room for, by whose it is.", nil},
		{"agentapi_budget_refusals_total", Counter, nil, "Requests that a budget had no room for.", nil},
		{"agentapi_client_disconnects_total", Counter, nil, "Completions that ended because their client left.", nil},

		{"agentapi_agent_requests_total", Counter, []string{"agent", "model", "outcome"}, "Attempts of agents to answer; outcome is ok or the kind of the failure, which is canceled where the client left or another agent was faster.", nil},
		{"agentapi_agent_request_duration_seconds", Histogram, []string{"agent", "model"}, "How long an attempt took.", durations},
		{"agentapi_time_to_first_token_seconds", Histogram, []string{"agent", "model"}, "From when an agent was asked to its first words.", durations},
		{"agentapi_time_per_output_token_seconds", Histogram, []string{"agent", "model"}, "From an agent's first words to its answer's end, for each token after the first.", short},
		{"agentapi_tokens_total", Counter, []string{"agent", "model", "direction"}, "Tokens as they are accounted for; direction is input or output.", nil},
		{"agentapi_cost_total", Counter, []string{"agent", "model", "currency"}, "What the tokens cost, in units of the currency.", nil},
		{"agentapi_failovers_total", Counter, []string{"from", "to", "reason"}, "Requests that another agent took over; reason is the kind of the failure. Who is asked again, or beside another, takes nothing over.", nil},
		{"agentapi_streams_active", Gauge, []string{"agent"}, "Streams that an agent is answering.", nil},
		{"agentapi_processes", Gauge, []string{"agent", "state"}, "Programs of the agents that run programs: running, with those that start or end, or idle, waiting for their conversation's next turn.", nil},
		{"agentapi_sessions_active", Gauge, nil, "Conversations with a request that runs.", nil},

		{"agentapi_agent_up", Gauge, []string{"agent"}, "1 where an agent is healthy, degraded or not looked at yet, 0 where it is unhealthy.", nil},
		{"agentapi_circuit_breaker_state", Gauge, []string{"agent"}, "The worst of an agent's breakers: 0 closed, 1 half open, 2 open.", nil},
		{"agentapi_degraded", Gauge, []string{"dep", "mode"}, "1 while the server does without something that it depends on.", nil},

		{"agentapi_audit_events_total", Counter, []string{"outcome"}, "Entries for the audit log: ok, or failed where they could not be handed to the storage.", nil},
		{"agentapi_audit_chain_verified_timestamp_seconds", Gauge, nil, "When this server verified the audit log last, in part or as a whole, since 1970; 0: not yet, or the log is in its memory.", nil},
		{"agentapi_audit_chain_intact", Gauge, nil, "0 where the audit log is known not to be what it was, else 1.", nil},
		{"agentapi_audit_queue_length", Gauge, nil, "Ends of requests that wait to be booked, with their entries, because the storage did not take them.", nil},
		{"agentapi_audit_lag_seconds", Gauge, nil, "How long the oldest of those ends has waited; 0: none waits.", nil},
		{"agentapi_lost_total", Counter, nil, "Work that could not be stored after its request had ended.", nil},

		{"agentapi_storage_query_duration_seconds", Histogram, []string{"op"}, "How long the storage took: read, or write, with the wait for its transaction.", short},
		{"agentapi_storage_errors_total", Counter, []string{"op"}, "Calls of the storage that failed because of it.", nil},
		{"agentapi_storage_connections", Gauge, []string{"pool", "state"}, "Connections to PostgreSQL: used, idle, and max, which there may be.", nil},
		{"agentapi_cache_ops_total", Counter, []string{"op", "result"}, "Calls of the cache and the limiter: hit, miss, ok or error.", nil},
		{"agentapi_cache_connections", Gauge, nil, "Connections to Redis that are open; 0 until it is first asked, and while it is away.", nil},
		{"agentapi_cache_dials_total", Counter, []string{"result"}, "Connections to Redis that were made: ok or error.", nil},
	}
}

// Reference is the table as text for a README.
func Reference() string {
	var b strings.Builder
	b.WriteString("| metric | type | labels | meaning |\n| --- | --- | --- | --- |\n")
	for _, m := range Table() {
		labels := ""
		if len(m.Labels) > 0 {
			labels = "`" + strings.Join(m.Labels, "`, `") + "`"
		}
		fmt.Fprintf(&b, "| `%s` | %s | %s | %s |\n", m.Name, m.Kind, labels, m.Help)
	}
	return b.String()
}

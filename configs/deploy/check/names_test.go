package check

import (
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// labels are the server's metrics, each with what tells its series apart.
var known = map[string][]string{
	"agentapi_agent_request_duration_seconds":         {"agent", "model"},
	"agentapi_agent_requests_total":                   {"agent", "model", "outcome"},
	"agentapi_agent_up":                               {"agent"},
	"agentapi_audit_chain_intact":                     {},
	"agentapi_audit_chain_verified_timestamp_seconds": {},
	"agentapi_audit_events_total":                     {"outcome"},
	"agentapi_audit_lag_seconds":                      {},
	"agentapi_audit_queue_length":                     {},
	"agentapi_auth_failures_total":                    {"reason"},
	"agentapi_budget_refusals_total":                  {},
	"agentapi_build_info":                             {"version", "revision", "goversion"},
	"agentapi_cache_connections":                      {},
	"agentapi_cache_dials_total":                      {"result"},
	"agentapi_cache_ops_total":                        {"op", "result"},
	"agentapi_circuit_breaker_state":                  {"agent"},
	"agentapi_client_disconnects_total":               {},
	"agentapi_config_last_reload_successful":          {},
	"agentapi_config_last_reload_timestamp_seconds":   {},
	"agentapi_cost_total":                             {"agent", "model", "currency"},
	"agentapi_degraded":                               {"dep", "mode"},
	"agentapi_failovers_total":                        {"from", "to", "reason"},
	"agentapi_http_request_duration_seconds":          {"method", "route"},
	"agentapi_http_requests_total":                    {"method", "route", "code"},
	"agentapi_lost_total":                             {},
	"agentapi_processes":                              {"agent", "state"},
	"agentapi_rate_limited_total":                     {"scope"},
	"agentapi_requests_in_flight":                     {},
	"agentapi_sessions_active":                        {},
	"agentapi_start_time_seconds":                     {},
	"agentapi_storage_connections":                    {"pool", "state"},
	"agentapi_storage_errors_total":                   {"op"},
	"agentapi_storage_query_duration_seconds":         {"op"},
	"agentapi_streams_active":                         {"agent"},
	"agentapi_time_per_output_token_seconds":          {"agent", "model"},
	"agentapi_time_to_first_token_seconds":            {"agent", "model"},
	"agentapi_tokens_total":                           {"agent", "model", "direction"},
}

func TestTheListOfMetricsIsTheServers(t *testing.T) {
	source, err := os.ReadFile(filepath.Join(root, "adapters", "telemetry", "prometheus", "table.go"))
	if err != nil {
		t.Fatal(err)
	}
	found := 0
	for _, m := range regexp.MustCompile(`\{"(agentapi_\w+)", \w+, (?:nil|\[\]string\{([^}]*)\})`).FindAllStringSubmatch(string(source), -1) {
		var have []string
		if m[2] != "" {
			have = strings.Split(strings.ReplaceAll(m[2], `"`, ""), ", ")
		}
		if want, ok := known[m[1]]; !ok || !slices.Equal(want, have) {
			t.Errorf("%s has the labels %v, not %v", m[1], have, want)
		}
		found++
	}
	if found != len(known) {
		t.Errorf("the server has %d metrics, the list %d", found, len(known))
	}
}

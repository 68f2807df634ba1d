package check

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/promql/parser"
	"github.com/prometheus/prometheus/promql/promqltest"
	"github.com/prometheus/prometheus/rules"
	"sigs.k8s.io/yaml"
)

// series are what an alert is tried on, in Prometheus's own notation, a sample a minute.
type series struct {
	fires, quiet string   // series on which it must be firing after half an hour, and on which it must not
	who          []string // the summaries that fire
}

// tried has every alert, with a case on the other side of its limit.
var tried = map[string]series{
	"AgentAPIDown": {
		`up{job="agentapi",instance="a"} 0x40`,
		`up{job="agentapi",instance="a"} 1x28 0x12
		up{job="another",instance="b"} 0x40`,
		[]string{"a answers no scrape"},
	},
	"AgentAPIErrors": {
		`agentapi_http_requests_total{code="200"} 0+94x40
		agentapi_http_requests_total{code="503"} 0+6x40`,
		`agentapi_http_requests_total{code="200"} 0+96x40
		agentapi_http_requests_total{code="429"} 0+50x40
		agentapi_http_requests_total{code="503"} 0+4x40`,
		[]string{"6% of all requests fail"},
	},
	"AgentAPIAgentDown": {
		`agentapi_agent_up{agent="up",instance="a"} 0x40
		agentapi_agent_up{agent="up",instance="b"} 0x40
		agentapi_agent_up{agent="two",instance="b"} 1x40`,
		`agentapi_agent_up{agent="up",instance="a"} 0x40
		agentapi_agent_up{agent="up",instance="b"} 1x40`,
		[]string{"No server reaches the agent up"},
	},
	"AgentAPIBreakerOpen": {
		`agentapi_circuit_breaker_state{agent="up",instance="a"} 2x40
		agentapi_circuit_breaker_state{agent="up",instance="b"} 0x40`,
		`agentapi_circuit_breaker_state{agent="up"} 1x40`,
		[]string{"The agent up is left alone after failures"},
	},
	"AgentAPISlowToBegin": {
		`agentapi_time_to_first_token_seconds_bucket{agent="up",le="10"} 0+85x40
		agentapi_time_to_first_token_seconds_bucket{agent="up",le="30"} 0+100x40
		agentapi_time_to_first_token_seconds_bucket{agent="up",le="+Inf"} 0+100x40`,
		`agentapi_time_to_first_token_seconds_bucket{agent="up",le="10"} 0+96x40
		agentapi_time_to_first_token_seconds_bucket{agent="up",le="30"} 0+100x40
		agentapi_time_to_first_token_seconds_bucket{agent="up",le="+Inf"} 0+100x40`,
		[]string{"Of the answers of up one in twenty begins after 23.33s"},
	},
	"AgentAPIFailovers": {
		`agentapi_failovers_total{from="up",to="two",reason="unavailable"} 0+5x40
		agentapi_failovers_total{from="up",to="two",reason="timeout"} 0+5x40`,
		`agentapi_failovers_total{from="up",to="two",reason="timeout"} 0+5x40`,
		[]string{"Requests meant for up go to two"},
	},
	"AgentAPIAuthFailures": {
		`agentapi_auth_failures_total{reason="expired"} 0+360x40`,
		`agentapi_auth_failures_total{reason="expired"} 0+240x40
		agentapi_auth_failures_total{reason="unknown"} 0+240x40`,
		[]string{"6 logins a second are refused: expired"},
	},
	"AgentAPIStorageSlow": {
		`agentapi_storage_query_duration_seconds_bucket{op="get",le="1"} 0+98x40
		agentapi_storage_query_duration_seconds_bucket{op="get",le="3"} 0+100x40
		agentapi_storage_query_duration_seconds_bucket{op="get",le="+Inf"} 0+100x40`,
		`agentapi_storage_query_duration_seconds_bucket{op="get",le="0.1"} 0+99x40
		agentapi_storage_query_duration_seconds_bucket{op="get",le="1"} 0+100x40
		agentapi_storage_query_duration_seconds_bucket{op="get",le="+Inf"} 0+100x40`,
		[]string{"The database takes 2s"},
	},
	"AgentAPIDegraded": {
		`agentapi_degraded{dep="redis",mode="local_limits",instance="a"} 1x40
		agentapi_degraded{dep="redis",mode="local_limits",instance="b"} 0x40`,
		`agentapi_degraded{dep="redis",mode="local_limits"} 0x29 1x11`,
		[]string{"A server does without redis (local_limits)"},
	},
	"AgentAPIWorkLost": {
		`agentapi_lost_total 0x25 1x15`,
		`agentapi_lost_total 3x40`,
		[]string{"answers were given and could not be booked"},
	},
	"AgentAPIAuditBehind": {
		`agentapi_audit_lag_seconds{instance="a"} 0+60x40
		agentapi_audit_lag_seconds{instance="b"} 0x40`,
		`agentapi_audit_lag_seconds{instance="a"} 50x40`,
		[]string{"a cannot book what happened 30m 0s ago"},
	},
	"AgentAPIRedisUnstable": {
		`agentapi_cache_dials_total{result="error",instance="a"} 0+60x40
		agentapi_cache_dials_total{result="ok",instance="b"} 0+60x40`,
		`agentapi_cache_dials_total{result="error",instance="a"} 0+1x40`,
		[]string{"a keeps failing to connect to Redis"},
	},
	"AgentAPIAuditBroken": {
		`agentapi_audit_chain_intact{instance="a"} 1x40
		agentapi_audit_chain_intact{instance="b"} 0x40`,
		`agentapi_audit_chain_intact{instance="a"} 1x40`,
		[]string{"The audit log is not what it was"},
	},
	"AgentAPIAuditNotVerified": {
		`agentapi_audit_chain_verified_timestamp_seconds{instance="a"} 60x40
		agentapi_audit_chain_verified_timestamp_seconds{instance="b"} 300x40`,
		`agentapi_audit_chain_verified_timestamp_seconds{instance="a"} 60x40
		agentapi_audit_chain_verified_timestamp_seconds{instance="b"} 60+60x40
		agentapi_audit_chain_verified_timestamp_seconds{instance="c"} 0x40`,
		[]string{"No server has verified the audit log for a quarter of an hour"},
	},
	"AgentAPIConfigNotReloaded": {
		`agentapi_config_last_reload_successful{instance="a"} 0x40
		agentapi_config_last_reload_successful{instance="b"} 1x40`,
		`agentapi_config_last_reload_successful{instance="a"} 1x27 0x13`,
		[]string{"a runs with its old configuration"},
	},
}

// alert is an entry of the file of alerts.
type alert struct {
	Alert, Expr, For    string
	Labels, Annotations map[string]string
}

func alerts(t *testing.T) (all []alert) {
	t.Helper()
	var file struct {
		Groups []struct {
			Name  string
			Rules []alert
		}
	}
	if err := yaml.UnmarshalStrict(read(t, "helm", "agentapi", "files", "alerts.yaml"), &file); err != nil {
		t.Fatal(err)
	}
	for _, g := range file.Groups {
		all = append(all, g.Rules...)
	}
	return all
}

// Prometheus's own rules and engine say what fires.
func TestEachAlertFiresWhereItShouldAndNowhereElse(t *testing.T) {
	all := alerts(t)
	if len(all) != len(tried) {
		t.Errorf("%d alerts are tried, of %d", len(tried), len(all))
	}
	for _, a := range all {
		t.Run(a.Alert, func(t *testing.T) {
			s, ok := tried[a.Alert]
			if !ok {
				t.Fatal("the alert is not tried")
			}
			if got := firing(t, a, s.fires); len(got) != len(s.who) || !slices.EqualFunc(got, s.who, strings.Contains) {
				t.Errorf("fires for %q, not %q", got, s.who)
			}
			if got := firing(t, a, s.quiet); len(got) > 0 {
				t.Errorf("fires for %q", got)
			}
		})
	}
}

// firing evaluates an alert once a minute for half an hour, and gives the summaries of
// those that fire at its end, in their order.
func firing(t *testing.T, a alert, load string) (summaries []string) {
	t.Helper()
	store := promqltest.LoadedStorage(t, "load 1m\n"+load)
	t.Cleanup(func() { _ = store.Close() })
	engine := promqltest.NewTestEngine(t, false, 0, promqltest.DefaultMaxSamplesPerQuery)
	expr, err := parser.NewParser(parser.Options{}).ParseExpr(a.Expr)
	if err != nil {
		t.Fatal(err)
	}
	var hold time.Duration
	if a.For != "" {
		d, err := model.ParseDuration(a.For)
		if err != nil {
			t.Fatal(err)
		}
		hold = time.Duration(d)
	}
	rule := rules.NewAlertingRule(a.Alert, expr, hold, 0, labels.FromMap(a.Labels), labels.FromMap(a.Annotations), labels.EmptyLabels(), "", true, nil)
	for at := range 31 {
		ts := time.Unix(0, 0).Add(time.Duration(at) * time.Minute)
		if _, err := rule.Eval(t.Context(), 0, ts, rules.EngineQueryFunc(engine, store), nil, 0); err != nil {
			t.Fatal(err)
		}
	}
	for _, active := range rule.ActiveAlerts() {
		if active.State == rules.StateFiring {
			summaries = append(summaries, active.Annotations.Get("summary"))
		}
	}
	slices.Sort(summaries)
	return summaries
}

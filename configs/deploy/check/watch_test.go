package check

import (
	"encoding/json"
	"slices"
	"strings"
	"testing"

	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/promql/parser"
)

// checkExpr parses an expression, and holds its metrics and labels to what the
// server has.
func checkExpr(t *testing.T, where, expr string) {
	t.Helper()
	// Grafana's own variables become what they stand for.
	expr = strings.NewReplacer("$__rate_interval", "5m", "$instance", ".*").Replace(expr)
	tree, err := parser.NewParser(parser.Options{}).ParseExpr(expr)
	if err != nil {
		t.Errorf("%s: %v", where, err)
		return
	}
	var have []string // labels that the selected series have
	parser.Inspect(tree, func(n parser.Node, _ []parser.Node) error {
		v, ok := n.(*parser.VectorSelector)
		if !ok || v.Name == "up" {
			have = append(have, "instance", "job")
			return nil
		}
		name, le := strings.CutSuffix(v.Name, "_bucket")
		own, ok := known[name]
		if !ok {
			t.Errorf("%s: the server has no metric %s", where, v.Name)
			return nil
		}
		own = append(slices.Clone(own), "instance", "job")
		if le {
			own = append(own, "le")
		}
		have = append(have, own...)
		for _, m := range v.LabelMatchers {
			if m.Name != labels.MetricName && !slices.Contains(own, m.Name) {
				t.Errorf("%s: %s has no label %s", where, v.Name, m.Name)
			}
		}
		return nil
	})
	parser.Inspect(tree, func(n parser.Node, _ []parser.Node) error {
		if a, ok := n.(*parser.AggregateExpr); ok {
			for _, by := range a.Grouping {
				if !slices.Contains(have, by) {
					t.Errorf("%s: no series has the label %s", where, by)
				}
			}
		}
		return nil
	})
}

func TestAlertsAskForMetricsThatThereAre(t *testing.T) {
	seen := map[string]bool{}
	for _, r := range alerts(t) {
		checkExpr(t, r.Alert, r.Expr)
		if r.Alert == "" || seen[r.Alert] || r.Labels["severity"] == "" || r.Annotations["summary"] == "" || r.Annotations["description"] == "" {
			t.Errorf("the alert %+v has no name of its own, severity, summary or description", r)
		}
		seen[r.Alert] = true
	}
	if len(seen) < 10 {
		t.Errorf("only %d alerts were found", len(seen))
	}
}

func TestTheDashboardAsksForMetricsThatThereAre(t *testing.T) {
	var board struct {
		UID, Title string
		Panels     []struct {
			ID         int
			Title      string
			Datasource struct{ Type, UID string }
			GridPos    struct{ X, Y, W, H int }
			Targets    []struct{ Expr string }
		}
	}
	if err := json.Unmarshal(read(t, "helm", "agentapi", "files", "dashboard.json"), &board); err != nil {
		t.Fatal(err)
	}
	if board.UID == "" || len(board.Panels) < 20 {
		t.Fatalf("the dashboard has %d panels", len(board.Panels))
	}
	ids := map[int]bool{}
	for _, p := range board.Panels {
		if ids[p.ID] || p.Datasource.UID != "${datasource}" || len(p.Targets) == 0 || p.GridPos.X+p.GridPos.W > 24 {
			t.Errorf("the panel %q is %+v", p.Title, p)
		}
		ids[p.ID] = true
		for _, target := range p.Targets {
			checkExpr(t, p.Title, target.Expr)
		}
	}
}

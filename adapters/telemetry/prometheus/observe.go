package prometheus

import (
	"context"
	"net/http"
	"strconv"
	"time"

	"agentapi/domain/fault"
	"agentapi/domain/quota"
	"agentapi/ports"
)

// Began counts a request in.
func (m *Metrics) Began() { m.inFlight.Inc() }

// Ended counts a request out. route is empty where there is none for it.
func (m *Metrics) Ended(method, route string, status int, took time.Duration, err error) {
	m.inFlight.Dec()
	if route == "" {
		route = "none"
	}
	switch method {
	case http.MethodGet, http.MethodHead, http.MethodPost, http.MethodPut, http.MethodPatch, http.MethodDelete, http.MethodOptions:
	default:
		method = "other"
	}
	m.requests.WithLabelValues(method, route, strconv.Itoa(status)).Inc()
	m.took.WithLabelValues(method, route).Observe(took.Seconds())
	switch f := fault.As(err); {
	case f == nil:
	case f.Kind == fault.Unauthenticated && f.Code == "":
		m.auth.WithLabelValues("missing").Inc()
	case f.Kind == fault.Unauthenticated:
		m.auth.WithLabelValues(f.Code).Inc()
	}
}

// Limited counts a request that a limit had no room for.
func (m *Metrics) Limited(_ context.Context, whose quota.Tier) {
	scope := string(whose)
	if whose == quota.Key {
		scope = "api_key"
	}
	m.limited.WithLabelValues(scope).Inc()
}

// Unaffordable counts a request that a budget had no room for.
func (m *Metrics) Unaffordable(context.Context) { m.budgets.Inc() }

// CompletionEnded counts what the attempts at an answer came to.
func (m *Metrics) CompletionEnded(_ context.Context, e ports.Ended) {
	if fault.Is(e.Err, fault.Canceled) {
		m.left.Inc()
	}
	for i, a := range e.Tried {
		name, model, outcome := string(a.Agent), m.models.label(a.Agent, a.Model, m.sources.Known), "ok"
		if a.Err != nil {
			outcome = fault.KindOf(a.Err).String()
		}
		m.agents.WithLabelValues(name, model, outcome).Inc()
		m.attempts.WithLabelValues(name, model).Observe(a.Took.Seconds())
		if a.First > 0 {
			m.first.WithLabelValues(name, model).Observe(a.First.Seconds())
			if more := a.Usage.Completion - 1; more > 0 && a.Err == nil {
				m.pace.WithLabelValues(name, model).Observe((a.Took - a.First).Seconds() / float64(more))
			}
		}
		m.tokens.WithLabelValues(name, model, "input").Add(float64(a.Usage.Prompt))
		m.tokens.WithLabelValues(name, model, "output").Add(float64(a.Usage.Completion))
		if a.Cost > 0 {
			m.cost.WithLabelValues(name, model, m.currency).Add(float64(a.Cost) / 1e6)
		}
		if i == 0 || a.Hedge { // who is asked beside another takes nothing over
			continue
		}
		if before := e.Tried[i-1]; before.Agent != a.Agent {
			m.failovers.WithLabelValues(string(before.Agent), name, fault.KindOf(before.Err).String()).Inc()
		}
	}
}

// Lost counts work that could not be stored.
func (m *Metrics) Lost(context.Context, string, error) { m.lost.Inc() }

// Storage watches the calls of the storage.
func (m *Metrics) Storage(ctx context.Context, op string) (context.Context, func(error)) {
	began := time.Now()
	return ctx, func(err error) {
		m.queries.WithLabelValues(op).Observe(time.Since(began).Seconds())
		switch fault.KindOf(err) {
		case fault.Unavailable, fault.Timeout, fault.Internal:
			if err != nil {
				m.failures.WithLabelValues(op).Inc()
			}
		}
	}
}

// Audited counts entries that were handed to the storage, or could not be.
func (m *Metrics) Audited(n int, err error) {
	outcome := "ok"
	if err != nil {
		outcome = "failed"
	}
	m.audited.WithLabelValues(outcome).Add(float64(n))
}

// Package ops answers the questions of those who run the server: does it live,
// can it serve, how are its parts. None of the routes needs a credential, calls
// a model or says anything that a stranger must not know.
package ops

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"time"

	"github.com/gofiber/fiber/v2"

	"agentapi/adapters/http/problem"
	"agentapi/application/vitals"
	"agentapi/domain/agent"
	"agentapi/domain/fault"
)

// Vitals knows how the server is.
type Vitals interface {
	Ready(ctx context.Context) error
	Report(ctx context.Context) vitals.Report
}

// Handler serves the health routes.
type Handler struct {
	Vitals  Vitals
	Version string
	Base    context.Context
	Limit   time.Duration // for asking the storage
}

// Live answers GET /livez: the process can answer.
func (h *Handler) Live(c *fiber.Ctx) error { return plain(c, http.StatusOK, "ok\n") }

func plain(c *fiber.Ctx, status int, text string) error {
	c.Response().Header.SetContentType("text/plain; charset=utf-8")
	c.Response().SetStatusCode(status)
	c.Response().SetBodyString(text)
	return nil
}

// Ready answers GET /readyz: 200 when the server can serve. With ?verbose it
// names the parts, agents included, which do not matter to readiness.
func (h *Handler) Ready(c *fiber.Ctx) error {
	ctx, cancel := context.WithTimeout(h.Base, h.Limit)
	defer cancel()
	if c.Context().QueryArgs().Has("verbose") {
		r := h.Vitals.Report(ctx)
		var b strings.Builder
		line := func(ok bool, name, state string) {
			mark := "+"
			if !ok {
				mark = "-"
			}
			fmt.Fprintf(&b, "[%s] %s %s\n", mark, name, state)
		}
		line(r.Storage == nil, "storage", word(r.Storage == nil))
		line(!r.Draining, "serving", word(!r.Draining))
		if r.Audited {
			line(r.Audit == nil, "audit log", word(r.Audit == nil))
		}
		for _, a := range r.Agents {
			line(a.Health.State == agent.Healthy, "agent "+string(a.Name), string(a.Health.State))
		}
		return plain(c, statusOf(r.Ready), b.String())
	}
	err := h.Vitals.Ready(ctx)
	if err == nil {
		return plain(c, http.StatusOK, "ok\n")
	}
	return plain(c, statusOf(err), reason(err)+"\n")
}

func word(ok bool) string {
	if ok {
		return "ok"
	}
	return "failed"
}

func statusOf(err error) int {
	if err == nil {
		return http.StatusOK
	}
	return problem.From(fault.New(fault.Unavailable, "")).Status
}

func reason(err error) string {
	if f := fault.As(err); f != nil {
		return f.Message
	}
	return "not ready"
}

type check struct {
	Component string    `json:"componentType"`
	Status    string    `json:"status"`
	Observed  string    `json:"observedValue,omitempty"`
	Time      time.Time `json:"time"`
}

// Health answers GET /health in the form application/health+json.
func (h *Handler) Health(c *fiber.Ctx) error {
	ctx, cancel := context.WithTimeout(h.Base, h.Limit)
	defer cancel()
	r := h.Vitals.Report(ctx)
	now := time.Now().UTC()
	checks := map[string][]check{"storage": {{Component: "datastore", Status: passIf(r.Storage == nil), Time: now}}}
	status := passIf(r.Ready == nil)
	if r.Audited {
		checks["audit"] = []check{{Component: "component", Status: passIf(r.Audit == nil), Time: now}}
		if r.Audit != nil && status == "pass" {
			status = "warn"
		}
	}
	for _, a := range r.Agents {
		s := "pass"
		switch a.Health.State {
		case agent.Degraded, agent.Unknown:
			s = "warn"
		case agent.Unhealthy:
			s = "fail"
		}
		if s != "pass" && status == "pass" && a.Health.State != agent.Unknown {
			status = "warn"
		}
		seen := a.Health.Seen.UTC()
		checks["agent:"+string(a.Name)] = []check{{Component: "component", Status: s, Observed: string(a.Health.State), Time: seen}}
	}
	text, err := json.Marshal(struct {
		Status    string             `json:"status"`
		Version   string             `json:"version"`
		ServiceID string             `json:"serviceId"`
		Checks    map[string][]check `json:"checks"`
	}{status, h.Version, "agentapi", checks})
	if err != nil {
		return fault.Internalf("encoding the health report: %w", err)
	}
	c.Response().Header.SetContentType("application/health+json")
	c.Response().SetStatusCode(statusOf(r.Ready))
	c.Response().SetBodyRaw(text)
	return nil
}

func passIf(ok bool) string {
	if ok {
		return "pass"
	}
	return "fail"
}

// Status answers GET /status: version and uptime.
func (h *Handler) Status(c *fiber.Ctx) error {
	r := h.Vitals.Report(h.Base)
	var whole *bool
	if r.Audited {
		ok := r.Audit == nil
		whole = &ok
	}
	text, err := json.Marshal(struct {
		Name     string    `json:"name"`
		Version  string    `json:"version"`
		Started  time.Time `json:"started_at"`
		Uptime   int64     `json:"uptime_seconds"`
		Draining bool      `json:"draining"`
		Audit    *bool     `json:"audit_ok,omitempty"` // absent: there is no audit log
		Agents   int       `json:"agents"`
	}{"agentapi", h.Version, r.Started.UTC(), int64(time.Since(r.Started).Seconds()), r.Draining, whole, len(r.Agents)})
	if err != nil {
		return fault.Internalf("encoding the status: %w", err)
	}
	c.Response().Header.SetContentType("application/json")
	c.Response().SetBodyRaw(text)
	return nil
}

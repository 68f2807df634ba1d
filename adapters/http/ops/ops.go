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
	"agentapi/adapters/http/request"
	"agentapi/application/vitals"
	"agentapi/domain/agent"
	"agentapi/domain/fault"
	"agentapi/ports"
)

// Vitals knows how the server is.
type Vitals interface {
	Ready(ctx context.Context) error
	Report(ctx context.Context) vitals.Report
	Degraded() []ports.Degraded
}

// Handler serves the health routes.
type Handler struct {
	Vitals  Vitals
	Version string
	Base    context.Context
	Limit   time.Duration // for asking the storage
	// Operator tells whether the caller may see what is wrong in detail.
	Operator func(*fiber.Ctx) bool
	// Metrics gives the metrics as Prometheus reads them; nil: not here.
	Metrics func() ([]byte, error)
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
// names the parts, agents included, which do not matter to readiness. What the server
// does without stands below.
func (h *Handler) Ready(c *fiber.Ctx) error {
	ctx, cancel := context.WithTimeout(request.Of(c).Within(h.Base), h.Limit)
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
		line(r.Storage == nil, "storage", word(r.Storage == nil)) // and its schema
		line(r.Identity == nil, "identity", word(r.Identity == nil))
		line(!r.Draining, "serving", word(!r.Draining))
		if r.Audited {
			line(r.Audit == nil, "audit log", word(r.Audit == nil))
		}
		for _, a := range r.Agents {
			line(a.Health.State == agent.Healthy, "agent "+string(a.Name), string(a.Health.State))
		}
		return plain(c, statusOf(r.Ready), b.String()+without(r.Degraded))
	}
	err := h.Vitals.Ready(ctx)
	if err == nil {
		return plain(c, http.StatusOK, "ok\n"+without(h.Vitals.Degraded()))
	}
	return plain(c, statusOf(err), reason(err)+"\n"+without(h.Vitals.Degraded()))
}

// without names what the server does without, a line for each.
func without(all []ports.Degraded) string {
	var b strings.Builder
	for _, d := range all {
		fmt.Fprintf(&b, "degraded: %s %s since %s\n", d.Dep, d.Mode, d.Since.UTC().Format(time.RFC3339))
	}
	return b.String()
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

// Status answers GET /status: version and uptime.
func (h *Handler) Status(c *fiber.Ctx) error {
	r := h.Vitals.Report(request.Of(c).Within(h.Base))
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

package admin

import (
	"context"
	"time"

	"github.com/gofiber/fiber/v2"

	"agentapi/adapters/http/rest"
	"agentapi/application/operations"
	"agentapi/domain/agent"
	"agentapi/domain/page"
	"agentapi/domain/tenancy"
)

// observed counts what was observed of an agent.
type observed struct {
	Probes       int `json:"probes"`
	ProbesFailed int `json:"probes_failed"`
	Runs         int `json:"runs"`
	RunsFailed   int `json:"runs_failed"`
}

func observedOf(t agent.Tally) observed {
	return observed{t.Probes, t.ProbesFailed, t.Runs, t.RunsFailed}
}

// breaker is one that is not closed.
type breaker struct {
	Model *string            `json:"model"` // null: of models that have none of their own
	State agent.BreakerState `json:"state"`
	Left  float64            `json:"retry_after_seconds"`
}

func breakersOf(all []agent.Breaker) []breaker {
	out := make([]breaker, len(all))
	for i, b := range all {
		out[i] = breaker{State: b.State, Left: b.Left.Seconds()}
		if b.Model != "" {
			out[i].Model = &all[i].Model
		}
	}
	return out
}

// healthChange is how an agent's state changed.
type healthChange struct {
	ID       string      `json:"id"`
	Object   string      `json:"object"`
	Agent    string      `json:"agent"`
	Instance string      `json:"instance"`
	At       time.Time   `json:"created_at"`
	State    agent.State `json:"state"`
	Was      agent.State `json:"was"`
	Reason   string      `json:"reason,omitempty"`
	Lasted   float64     `json:"lasted_seconds"`
	Observed observed    `json:"observed"`
}

// AgentHealth answers GET /api/v1/platform/agents/{agent}/health.
func (h *Handler) AgentHealth(c *fiber.Ctx) error {
	return listed(h, c, func(ctx context.Context, q page.Query) (page.Of[agent.Change], error) {
		return h.Operations.History(ctx, caller(c), agent.Name(c.Params("agent")), q)
	}, func(v agent.Change) (string, any) {
		return v.ID.String(), healthChange{
			v.ID.String(), "agent.health_change", string(v.Agent), v.Instance, v.At.UTC(), v.State, v.Was, v.Reason, v.Lasted.Seconds(), observedOf(v.Tally),
		}
	})
}

// DrainAgent answers POST /api/v1/platform/agents/{agent}/drain.
func (h *Handler) DrainAgent(c *fiber.Ctx) error { return h.turn(c, h.Operations.Drain) }

// ResumeAgent answers POST /api/v1/platform/agents/{agent}/resume.
func (h *Handler) ResumeAgent(c *fiber.Ctx) error { return h.turn(c, h.Operations.Resume) }

// ResetAgent answers POST /api/v1/platform/agents/{agent}/reset.
func (h *Handler) ResetAgent(c *fiber.Ctx) error { return h.turn(c, h.Operations.Reset) }

func (h *Handler) turn(c *fiber.Ctx, do func(context.Context, tenancy.Principal, agent.Name, []int) (operations.Agent, error)) error {
	if err := rest.Body(c, rest.Members{}); err != nil {
		return err
	}
	ctx, cancel := h.context(c)
	defer cancel()
	a, err := do(ctx, caller(c), agent.Name(c.Params("agent")), rest.Versions(c, "If-Match", false))
	if err != nil {
		return err
	}
	return sendAgent(c, a)
}

package admin

import (
	"context"
	"time"

	"github.com/gofiber/fiber/v2"

	"agentapi/adapters/http/problem"
	"agentapi/adapters/http/request"
	"agentapi/adapters/http/rest"
	"agentapi/application/operations"
	"agentapi/domain/agent"
	"agentapi/domain/jsontext"
	"agentapi/domain/page"
)

// agentObject is an agent as operators see it.
type agentObject struct {
	ID         string      `json:"id"`
	Object     string      `json:"object"`
	Driver     string      `json:"driver"`
	Configured bool        `json:"configured"`
	Enabled    bool        `json:"enabled"`
	Models     []string    `json:"models"`
	Limits     *limits     `json:"limits"`
	Draining   bool        `json:"draining"`
	Running    int         `json:"running"`
	Breakers   []breaker   `json:"breakers"`
	State      agent.State `json:"state"`
	Reason     string      `json:"reason,omitempty"`
	Since      *time.Time  `json:"state_since"`
	Seen       *time.Time  `json:"checked_at"`
	Observed   observed    `json:"observed"`
	Version    int         `json:"version"`
	Changed    *time.Time  `json:"changed_at"`
}

// limits are those of one agent; 0 is without a bound.
type limits struct {
	Concurrent int     `json:"concurrent"`
	Queue      float64 `json:"queue_seconds"`
	FirstEvent float64 `json:"first_event_seconds"`
	Idle       float64 `json:"idle_seconds"`
	Total      float64 `json:"total_seconds"`
}

func agentOf(a operations.Agent) agentObject {
	out := agentObject{
		ID: string(a.Name), Object: "agent", Driver: a.Profile.Driver, Configured: a.Configured, Enabled: a.Enabled, Models: []string{},
		State: a.Health.State, Reason: a.Health.Reason, Since: when(a.Health.Since), Seen: when(a.Health.Seen),
		Draining: a.Switch.Drained, Running: a.Running, Breakers: breakersOf(a.Breakers), Observed: observedOf(a.Health.Tally),
		Version: a.Switch.Version, Changed: when(a.Switch.Changed),
	}
	for _, m := range a.Models {
		out.Models = append(out.Models, m.ID)
	}
	if p := a.Profile; a.Configured {
		out.Limits = &limits{p.Concurrent, p.Queue.Seconds(), p.FirstEvent.Seconds(), p.Idle.Seconds(), p.Total.Seconds()}
	}
	return out
}

// sendAgent answers with an agent. Its tag is of what can be changed; its state
// changes by itself, so that no copy of it is ever good.
func sendAgent(c *fiber.Ctx, a operations.Agent) error {
	c.Set("ETag", rest.ETag(a.Switch.Version))
	return rest.Send(c, agentOf(a))
}

// Agents answers GET /api/v1/platform/agents.
func (h *Handler) Agents(c *fiber.Ctx) error {
	return listed(h, c, func(ctx context.Context, q page.Query) (page.Of[operations.Agent], error) {
		return h.Operations.Agents(ctx, caller(c), q)
	}, func(a operations.Agent) (string, any) { return string(a.Name), agentOf(a) })
}

// Agent answers GET /api/v1/platform/agents/{agent}.
func (h *Handler) Agent(c *fiber.Ctx) error {
	ctx, cancel := h.context(c)
	defer cancel()
	a, err := h.Operations.Agent(ctx, caller(c), agent.Name(c.Params("agent")))
	if err != nil {
		return err
	}
	return sendAgent(c, a)
}

// EditAgent answers PATCH /api/v1/platform/agents/{agent}, with a merge patch.
func (h *Handler) EditAgent(c *fiber.Ctx) error {
	var enabled *bool
	if err := rest.Patch(c, rest.Members{"enabled": func(r *jsontext.Reader) error {
		if k := r.Kind(); k != 't' && k != 'f' {
			return rest.WrongType(r, "enabled", "true or false")
		}
		v, err := r.Bool()
		enabled = &v
		return err
	}}); err != nil {
		return err
	}
	ctx, cancel := h.context(c)
	defer cancel()
	a, err := h.Operations.Enable(ctx, caller(c), agent.Name(c.Params("agent")), rest.Versions(c, "If-Match", false), enabled)
	if err != nil {
		return err
	}
	return sendAgent(c, a)
}

// trial is how an agent answered when it was tried.
type trial struct {
	Object string   `json:"object"`
	Agent  string   `json:"agent"`
	OK     bool     `json:"ok"`
	Asked  string   `json:"asked"` // answer or models
	Model  *string  `json:"model"`
	First  *float64 `json:"first_words_ms"`
	Took   float64  `json:"took_ms"`
	Tokens *tokens  `json:"usage"`
	Error  *failure `json:"error"`
}

type tokens struct {
	Prompt     int `json:"prompt_tokens"`
	Completion int `json:"completion_tokens"`
}

// failure is an error that is no answer's own.
type failure struct {
	Message string `json:"message"`
	Type    string `json:"type"`
	Code    string `json:"code"`
	Hint    string `json:"hint,omitempty"`
	Status  int    `json:"status"` // that a caller of the model would get
}

// TestAgent answers POST /api/v1/platform/agents/{agent}/test. That the agent failed
// is what was asked for, and no failure of this request.
func (h *Handler) TestAgent(c *fiber.Ctx) error {
	var model string
	if err := rest.Body(c, rest.Members{"model": rest.Text("model", &model)}); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(request.Of(c).Within(h.Base), operations.TrialLimit+2*h.Limit)
	defer cancel()
	t, err := h.Operations.Try(ctx, caller(c), agent.Name(c.Params("agent")), model, request.Of(c).ID)
	if err != nil {
		return err
	}
	ms := func(d time.Duration) float64 { return float64(d.Microseconds()) / 1000 }
	out := trial{Object: "agent.test", Agent: string(t.Agent), OK: t.Err == nil, Asked: "models", Took: ms(t.Took)}
	if t.Model != "" {
		out.Asked, out.Model = "answer", &t.Model
	}
	if t.First > 0 {
		first := ms(t.First)
		out.First = &first
	}
	if t.Tokens.Prompt+t.Tokens.Completion > 0 {
		out.Tokens = &tokens{t.Tokens.Prompt, t.Tokens.Completion}
	}
	if t.Err != nil {
		p := problem.From(t.Err)
		out.Error = &failure{p.Message, p.Type, p.Code, p.Hint, p.Status}
	}
	return rest.Send(c, out)
}

package admin

import (
	"cmp"
	"time"

	"github.com/gofiber/fiber/v2"

	"agentapi/adapters/http/rest"
	"agentapi/domain/agent"
)

// explanation is why a request went where it went.
type explanation struct {
	ID         string          `json:"id"`
	Object     string          `json:"object"`
	Org        string          `json:"org_id"`
	User       *string         `json:"user_id"`
	Instance   string          `json:"instance"`
	Model      *string         `json:"model"`
	Route      *string         `json:"route"` // null: nobody answers to the model
	Strategy   *agent.Strategy `json:"strategy"`
	Sticky     *agent.Bond     `json:"sticky_by"`
	Reason     *string         `json:"reason"`
	Candidates []considered    `json:"candidates"`
	Attempts   []attempt       `json:"attempts"`
	Stopped    *string         `json:"stopped"`
	Status     string          `json:"status"`
	Error      *failed         `json:"error"`
	Began      *time.Time      `json:"started_at"`
	Took       *float64        `json:"took_seconds"`
	Recalled   *recalled       `json:"recalled"`
}

// recalled is what is stored of a request whose decision nobody remembers.
type recalled struct {
	Agent    string    `json:"agent"`
	Model    string    `json:"model"`
	Attempts int       `json:"attempts"`
	At       time.Time `json:"recorded_at"`
}

type considered struct {
	Agent   string        `json:"agent"`
	Model   string        `json:"model"`
	Verdict agent.Verdict `json:"verdict"`
	Why     *string       `json:"lacks"`
}

type attempt struct {
	Agent  string       `json:"agent"`
	Model  string       `json:"model"`
	Result agent.Result `json:"result"`
	Error  *failed      `json:"error"`
	Hedge  bool         `json:"hedge"`
	Began  time.Time    `json:"started_at"`
	Waited float64      `json:"waited_seconds"`
	Took   float64      `json:"took_seconds"`
}

// failed is the class of a failure and its code.
type failed struct {
	Kind string  `json:"kind"`
	Code *string `json:"code"`
}

func failedOf(kind, code string) *failed {
	if kind == "" {
		return nil
	}
	return &failed{kind, orNull(code)}
}

// orNull is null for what is empty.
func orNull[S ~string](s S) *S {
	if s == "" {
		return nil
	}
	return &s
}

func explanationOf(d agent.Decision) explanation {
	out := explanation{
		ID: d.Request, Object: "request.explanation", Org: d.Org.String(), User: orNull(d.User.String()), Instance: d.Instance, Model: orNull(d.Model), Route: orNull(d.Via),
		Sticky: orNull(d.Bond), Reason: orNull(d.Reason), Candidates: make([]considered, len(d.Candidates)),
		Attempts: make([]attempt, len(d.Attempts)), Stopped: orNull(d.Stopped), Status: "running", Error: failedOf(d.Kind, d.Code),
	}
	if r := d.Recalled; r != nil {
		out.Recalled = &recalled{string(r.Agent), r.Model, r.Attempts, r.At.UTC()}
	} else {
		strategy, began, took := cmp.Or(d.Strategy, agent.Ordered), d.At.UTC(), d.Took.Seconds()
		out.Strategy, out.Began, out.Took = &strategy, &began, &took
	}
	switch {
	case d.Kind != "":
		out.Status = "failed"
	case d.Ended:
		out.Status = "completed"
	}
	for i, c := range d.Candidates {
		out.Candidates[i] = considered{string(c.Agent), c.Model, c.Verdict, orNull(c.Why)}
	}
	for i, a := range d.Attempts {
		out.Attempts[i] = attempt{string(a.Agent), a.Model, a.Result, failedOf(a.Kind, a.Code), a.Hedge, a.Began.UTC(), a.Waited.Seconds(), a.Took.Seconds()}
	}
	return out
}

// Explain answers GET /api/v1/platform/requests/{request}/explain.
func (h *Handler) Explain(c *fiber.Ctx) error {
	ctx, cancel := h.context(c)
	defer cancel()
	d, err := h.Operations.Explain(ctx, caller(c), c.Params("request"))
	if err != nil {
		return err
	}
	return rest.Send(c, explanationOf(d))
}

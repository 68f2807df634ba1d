package ops

import (
	"context"
	"encoding/json"
	"time"

	"github.com/gofiber/fiber/v2"

	"agentapi/adapters/http/request"
	"agentapi/application/outage"
	"agentapi/application/vitals"
	"agentapi/domain/agent"
	"agentapi/domain/fault"
)

// check is how one component is. Output says why, to operators only.
type check struct {
	Component string     `json:"componentType"`
	Status    string     `json:"status"`
	Observed  any        `json:"observedValue,omitempty"`
	Unit      string     `json:"observedUnit,omitempty"`
	Time      *time.Time `json:"time,omitempty"`
	Output    string     `json:"output,omitempty"`
}

// The words of a status.
const (
	pass = "pass"
	warn = "warn"
	fail = "fail"
)

// Health answers GET /health in the form application/health+json. What is wrong in
// detail is said to those alone who may see the platform.
func (h *Handler) Health(c *fiber.Ctx) error {
	ctx, cancel := context.WithTimeout(request.Of(c).Within(h.Base), h.Limit)
	defer cancel()
	r := h.Vitals.Report(ctx)
	checks := checksOf(r, time.Now().UTC())
	status, operator := passIf(r.Ready == nil), h.Operator(c)
	for _, all := range checks {
		for i := range all {
			if all[i].Status != pass && all[i].Observed != string(agent.Unknown) && status == pass {
				status = warn
			}
			if !operator {
				all[i].Output = ""
			}
		}
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

// checksOf are the components that a report is about.
func checksOf(r vitals.Report, now time.Time) map[string][]check {
	storage := check{Component: "datastore", Status: passIf(r.Storage == nil), Observed: float64(r.Took.Microseconds()) / 1000, Unit: "ms", Time: &now, Output: said(r.Storage)}
	all := map[string][]check{
		"storage":  {storage},
		"identity": {{Component: "component", Status: passIf(r.Identity == nil), Time: &now, Output: said(r.Identity)}},
		"serving":  {{Component: "system", Status: passIf(!r.Draining), Time: &now}},
	}
	if r.Shared {
		all[outage.Redis] = []check{{Component: "datastore", Status: pass, Time: &now}}
	}
	for _, d := range r.Degraded {
		since := d.Since.UTC()
		c := check{Component: "component", Status: warn, Observed: d.Mode, Time: &since, Output: d.Why}
		switch {
		case d.Dep == outage.Redis:
			c.Component = "datastore"
		case d.Dep == outage.Storage || d.Dep == outage.Identity && r.Identity != nil:
			continue // it fails, which says more
		}
		all[d.Dep] = []check{c}
	}
	if r.Audited {
		a := check{Component: "component", Status: passIf(r.Audit == nil), Time: &now}
		if r.Audit != nil {
			a.Output = r.Audit.What
		}
		all["audit"] = []check{a}
	}
	for _, a := range r.Agents {
		c := check{Component: "component", Status: pass, Observed: string(a.Health.State), Output: a.Health.Reason}
		switch a.Health.State {
		case agent.Degraded, agent.Unknown:
			c.Status = warn
		case agent.Unhealthy:
			c.Status = fail
		}
		if seen := a.Health.Seen.UTC(); !a.Health.Seen.IsZero() {
			c.Time = &seen
		}
		all["agent:"+string(a.Name)] = []check{c}
	}
	return all
}

func passIf(ok bool) string {
	if ok {
		return pass
	}
	return fail
}

// said is an error's text, as operators may see it.
func said(err error) string {
	if err == nil {
		return ""
	}
	return err.Error()
}

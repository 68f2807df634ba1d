package admin

import (
	"time"

	"github.com/gofiber/fiber/v2"

	"agentapi/adapters/http/rest"
	"agentapi/domain/agent"
	"agentapi/domain/usage"
)

// stats is the platform in numbers. A number of stored or used that equals counted_to
// says that there are as many or more.
type stats struct {
	Object   string      `json:"object"`
	Instance string      `json:"instance"`
	Version  string      `json:"version"`
	Started  time.Time   `json:"started_at"`
	Uptime   int64       `json:"uptime_seconds"`
	Running  int         `json:"requests_running"`
	Agents   agentCounts `json:"agents"`
	Stored   stored      `json:"stored"`
	Hour     consumed    `json:"last_hour"`
	Day      consumed    `json:"last_day"`
	Most     int64       `json:"counted_to"`
}

type agentCounts struct {
	Healthy   int `json:"healthy"`
	Degraded  int `json:"degraded"`
	Unhealthy int `json:"unhealthy"`
	Unknown   int `json:"unknown"`
	Disabled  int `json:"disabled"`
}

type stored struct {
	Orgs     int64 `json:"organizations"`
	Users    int64 `json:"users"`
	Keys     int64 `json:"api_keys"`
	Sessions int64 `json:"sessions"`
}

type consumed struct {
	Requests   int64 `json:"requests"`
	Prompt     int64 `json:"prompt_tokens"`
	Completion int64 `json:"completion_tokens"`
}

func consumedOf(t usage.Totals) consumed {
	return consumed{t.Requests, t.PromptTokens, t.CompletionTokens}
}

// Stats answers GET /api/v1/platform/stats.
func (h *Handler) Stats(c *fiber.Ctx) error {
	ctx, cancel := h.patient(c)
	defer cancel()
	s, err := h.Operations.Stats(ctx, caller(c))
	if err != nil {
		return err
	}
	return rest.Send(c, stats{
		Object: "platform.stats", Instance: s.Instance, Version: s.Version, Started: s.Started.UTC(), Uptime: int64(s.Uptime.Seconds()), Running: s.Running,
		Agents: agentCounts{s.Agents[agent.Healthy], s.Agents[agent.Degraded], s.Agents[agent.Unhealthy], s.Agents[agent.Unknown], s.Off},
		Stored: stored{s.Stored.Orgs, s.Stored.Users, s.Stored.Keys, s.Stored.Sessions},
		Hour:   consumedOf(s.Stored.LastHour), Day: consumedOf(s.Stored.LastDay), Most: s.Stored.Most,
	})
}

// setting is one value of the configuration.
type setting struct {
	Path   string `json:"path"`
	Value  any    `json:"value"`
	Origin string `json:"origin"`
}

// Config answers GET /api/v1/platform/config.
func (h *Handler) Config(c *fiber.Ctx) error {
	found, err := h.Operations.Configuration(caller(c))
	if err != nil {
		return err
	}
	out := struct {
		Object   string    `json:"object"`
		Instance string    `json:"instance"`
		Settings []setting `json:"settings"`
	}{"platform.config", h.Operations.Instance, make([]setting, len(found))}
	for i, s := range found {
		out.Settings[i] = setting(s)
	}
	return rest.Send(c, out)
}

// ReloadConfig answers POST /api/v1/platform/config/reload.
func (h *Handler) ReloadConfig(c *fiber.Ctx) error {
	if err := rest.Body(c, rest.Members{}); err != nil {
		return err
	}
	ctx, cancel := h.patient(c)
	defer cancel()
	r, err := h.Operations.ReloadConfig(ctx, caller(c))
	if err != nil {
		return err
	}
	return rest.Send(c, struct {
		Object   string   `json:"object"`
		Instance string   `json:"instance"`
		Added    []string `json:"added"`
		Removed  []string `json:"removed"`
		Changed  []string `json:"changed"`
		Restart  []string `json:"restart"`
	}{
		"platform.config_reload", h.Operations.Instance,
		append([]string{}, r.Added...), append([]string{}, r.Removed...), append([]string{}, r.Changed...), append([]string{}, r.Restart...),
	})
}

package ops

import (
	"github.com/gofiber/fiber/v2"

	"agentapi/domain/fault"
)

// Numbers answers GET /metrics, where the operator has opened it to callers.
func (h *Handler) Numbers(c *fiber.Ctx) error {
	if h.Metrics == nil {
		return fault.NotFoundf("not_found", "The metrics are not served here.").
			WithHint("Set telemetry.metrics.enabled, and read them at telemetry.listen; with telemetry.metrics.public they are here, too.")
	}
	text, err := h.Metrics()
	if err != nil {
		return fault.Internalf("metrics: %w", err)
	}
	c.Response().Header.SetContentType("text/plain; version=0.0.4; charset=utf-8")
	c.Response().SetBodyRaw(text)
	return nil
}

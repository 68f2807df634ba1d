package openai

import (
	"strconv"
	"strings"

	"github.com/gofiber/fiber/v2"

	"agentapi/adapters/http/request"
	"agentapi/domain/fault"
)

// lastEvent reads after which event of which answer the client goes on; zero values
// where it has no answer yet.
func (h *Chat) lastEvent(c *fiber.Ctx, key string, stream bool) (answer string, n int, err error) {
	id := string(request.Peek(c, "Last-Event-Id"))
	if id == "" {
		return "", 0, nil
	}
	if !h.Resumable || key == "" || !stream {
		return "", 0, fault.Invalidf("Last-Event-ID", "unsupported_parameter", "Only streams with an Idempotency-Key can be resumed, where the server keeps them.").
			WithHint("Leave Last-Event-ID out, or send the Idempotency-Key and the body of the request that began the stream.")
	}
	answer, number, ok := strings.Cut(id, ".")
	n, err = strconv.Atoi(number)
	if !ok || err != nil || n < 1 || !strings.HasPrefix(answer, "chatcmpl-") || len(answer) > 64 {
		return "", 0, fault.Invalidf("Last-Event-ID", "invalid_value", "Last-Event-ID must be the id of an event of the stream, as it stood there.")
	}
	return answer, n, nil
}

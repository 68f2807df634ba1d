package e2e

import (
	"fmt"
	"net/http"
	"strings"
	"testing"

	"agentapi/test/kit"
)

// Before an upstream is asked it is known what does not fit its model: that goes to one
// with the room, or is refused in OpenAI's words.
func TestWhatDoesNotFitAModelIsNotSentToIt(t *testing.T) {
	small, large := kit.NewUpstream(t, "ok"), kit.NewUpstream(t, "ok")
	s := kit.Start(t, kit.Options{Config: fmt.Sprintf(`storage: {driver: memory}
agents:
  small: {driver: openai, models: [other, {id: gpt-4, context: 200, output: 100}], openai: {base_url: %q}}
  large: {driver: openai, models: [{id: gpt-4, context: 2000}], openai: {base_url: %q}}
routing: {default: [small, large]}
`, small.URL, large.URL)})
	ask := func(model string, words int, rest string) string {
		return fmt.Sprintf(`{"model":%q,"messages":[{"role":"user","content":%q}]%s}`, model, strings.Repeat(" forest", words), rest)
	}
	refused := func(code, param, says, body string) {
		t.Helper()
		a := s.Chat(t, body)
		e, _ := object(t, a)["error"].(map[string]any)
		if a.Status != 400 || e["code"] != code || e["param"] != param || e["type"] != "invalid_request_error" || !strings.Contains(fmt.Sprint(e["message"]), says) {
			t.Errorf("%d %s", a.Status, a.Body)
		}
	}
	for _, c := range []struct {
		body  string
		agent string
	}{{ask("gpt-4", 100, ""), "small"}, {ask("gpt-4", 300, ""), "large"}, {ask("gpt-4", 10, `,"max_tokens":150`), "large"}, {ask("other", 3000, ""), "small"}} {
		if a := s.Chat(t, c.body); a.Status != 200 || a.Header.Get("x-agentapi-agent") != c.agent || a.Header.Get("x-agentapi-attempts") != "1" {
			t.Errorf("%s: %d %v", c.agent, a.Status, a.Header)
		}
	}
	refused("context_length_exceeded", "messages", "This model's maximum context length is 200 tokens. However, your messages resulted in 307 tokens.", ask("small/gpt-4", 300, ""))
	refused("context_length_exceeded", "messages", "you requested 2107 tokens (107 in the messages, 2000 in the completion)", ask("large/gpt-4", 100, `,"max_tokens":2000,"stream":true`))
	refused("invalid_value", "max_tokens", "max_tokens is too large: 101. This model supports at most 100 completion tokens, whereas you provided 101.", ask("small/gpt-4", 10, `,"max_tokens":101`))
	if small.Requests() != 2 || large.Requests() != 2 {
		t.Errorf("the upstreams were asked %d and %d times", small.Requests(), large.Requests())
	}
	if m := object(t, call(t, s, 200, http.MethodGet, "/v1/models/large/gpt-4", "")); m["context_window"] != 2000.0 {
		t.Errorf("it is listed as %v", m)
	}
}

package tokens_test

import (
	"strings"
	"testing"

	"agentapi/adapters/tokenizer/tiktoken"
	"agentapi/application/tokens"
	"agentapi/domain/agent"
	"agentapi/domain/chat"
	"agentapi/domain/fault"
)

var counter = &tokens.Counter{Tokenizer: tiktoken.New()}

func said(text string) []chat.Message { return []chat.Message{chat.NewMessage(chat.User, text)} }

// words is a prompt of so many tokens and seven about it, which the estimate takes for
// half as many again.
func words(n int) []chat.Message { return said(strings.Repeat(" forest", n)) }

func TestAPromptIsRefusedThatSurelyDoesNotFit(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		model   string
		context int
		output  int
		msgs    []chat.Message
		answer  int
		param   string
		says    string // empty: it fits
	}{
		"far from the bound":                      {"gpt-4o", 10_000, 0, words(100), 0, "", ""},
		"nothing is known":                        {"gpt-4o", 0, 0, words(100_000), 1 << 20, "", ""},
		"to the token":                            {"gpt-4o", 1007, 0, words(1000), 0, "", ""},
		"one too many":                            {"gpt-4o", 1006, 0, words(1000), 0, "messages", "maximum context length is 1006 tokens. However, your messages resulted in 1007 tokens. Please"},
		"with the answer, to the token":           {"gpt-4o", 1207, 0, words(1000), 200, "", ""},
		"with the answer, one too many":           {"gpt-4o", 1206, 0, words(1000), 200, "messages", "However, you requested 1207 tokens (1007 in the messages, 200 in the completion)"},
		"the answer alone is too long":            {"gpt-4o", 1000, 0, said("hi"), 1000, "messages", "you requested 1008 tokens (8 in the messages, 1000 in the completion)"},
		"an estimate that is too long":            {"claude", 1006, 0, words(1000), 0, "", ""},
		"an estimate that is too long by far":     {"claude", 430, 0, words(1000), 0, "messages", "resulted in about 1757 tokens"},
		"an estimate, and a sure answer":          {"claude", 1000, 0, said("hi"), 1000, "messages", "you requested about 1008 tokens"},
		"more than is counted":                    {"gpt-4o", 128_000, 0, words(400_000), 0, "messages", "resulted in about 700007 tokens"},
		"a picture, which is not text":            {"gpt-4o", 100, 0, []chat.Message{{Role: chat.User, Parts: []chat.Part{{Kind: chat.ImagePart}}}}, 0, "", ""},
		"an answer as long as it may be":          {"gpt-4o", 0, 500, said("hi"), 500, "", ""},
		"an answer that is longer than it may be": {"gpt-4o", 0, 500, said("hi"), 501, "max_completion_tokens", "max_completion_tokens is too large: 501. This model supports at most 500 completion tokens, whereas you provided 501."},
	} {
		r := &chat.Request{MaxTokens: c.answer, Params: []string{"max_completion_tokens"}}
		err := counter.Fit(agent.Model{Context: c.context, Output: c.output}, c.model, c.msgs, r, true)
		f := fault.As(err)
		switch {
		case c.says == "" && err != nil, c.says != "" && (f == nil || f.Param != c.param || !strings.Contains(f.Message, c.says)):
			t.Errorf("%s: %v", name, err)
		case c.param == "messages" && (f.Kind != fault.TooLong || f.Code != "context_length_exceeded"), c.param == "max_completion_tokens" && (f.Kind != fault.Invalid || f.Code != "invalid_value"):
			t.Errorf("%s: %v %s", name, f.Kind, f.Code)
		}
	}
	r := &chat.Request{MaxTokens: 1000}
	if err := counter.Fit(agent.Model{Context: 500, Output: 500}, "gpt-4o", said("hi"), r, false); err != nil {
		t.Errorf("an agent that does not honour max_tokens: %v", err)
	}
	if err := (*tokens.Counter)(nil).Fit(agent.Model{Context: 1006}, "gpt-4o", words(1000), &chat.Request{}, true); err != nil {
		t.Errorf("without tokenizers: %v", err)
	}
}

func TestWhatIsNotReportedIsCountedWhereTheTokenizerIsKnown(t *testing.T) {
	t.Parallel()
	answer := chat.Completion{Choices: []chat.Choice{{Message: chat.NewMessage(chat.Assistant, strings.Repeat(" forest", 40))}}}
	if got := counter.Used("openai/gpt-4o", words(1000), answer); got != (chat.Usage{Prompt: 1007, Completion: 40, Estimated: true}) {
		t.Errorf("gpt-4o: %+v", got)
	}
	if got := counter.Used("claude", words(1000), answer); got != (chat.Usage{Prompt: 1757, Completion: 70, Estimated: true}) {
		t.Errorf("claude: %+v", got)
	}
	tools := []chat.ToolSpec{{Name: " forest", Description: " forest forest", Parameters: []byte(" forest")}}
	if got := counter.Prompt("gpt-4o", words(3), tools); got != 7+3+4 {
		t.Errorf("with tools: %d", got)
	}
}

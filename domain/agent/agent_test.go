package agent

import (
	"slices"
	"testing"

	"agentapi/domain/chat"
	"agentapi/domain/fault"
)

func TestAModelIsSplitOnlyAtAKnownAgent(t *testing.T) {
	known := func(n Name) bool { return n == "up" || n == "openrouter" }
	for in, want := range map[string]Candidate{
		"up/mock-1":                {"up", "mock-1"},
		"openrouter/vendor/m:free": {"openrouter", "vendor/m:free"},
		"up/a,b":                   {"up", "a,b"},
		"vendor/model":             {},
		"mock-1":                   {},
		"up/":                      {},
		"/x":                       {},
		"Up/mock-1":                {},
	} {
		got, ok := SplitModel(in, known)
		if got != want || ok != (want != Candidate{}) {
			t.Errorf("%q: got %v, %v", in, got, ok)
		}
	}
}

func TestAgentNamesLeaveDotsAndSlashesToModels(t *testing.T) {
	for _, good := range []string{"up", "gemini-2", "9"} {
		if _, err := ParseName(good); err != nil {
			t.Errorf("%q: %v", good, err)
		}
	}
	for _, bad := range []string{"", "Up", "a.b", "a/b", "-a", "a b", string(make([]byte, 64))} {
		if _, err := ParseName(bad); err == nil {
			t.Errorf("%q was taken", bad)
		}
	}
}

func TestAWildcardServesAPrefix(t *testing.T) {
	if m := (Model{ID: "openrouter/*"}); !m.Wildcard() || !m.Serves("openrouter/x") || m.Serves("other") {
		t.Error("openrouter/* must serve openrouter/x and nothing else")
	}
	if m := (Model{ID: "m"}); m.Wildcard() || !m.Serves("m") || m.Serves("mm") {
		t.Error("a plain id must serve itself only")
	}
}

func TestAParameterIsNeverDroppedSilently(t *testing.T) {
	image := chat.Message{Role: chat.User, Parts: []chat.Part{{Kind: chat.TextPart}, {Kind: chat.ImagePart}}}
	for name, c := range map[string]struct {
		r     chat.Request
		param string
	}{
		"an unknown member": {chat.Request{N: 1, Unknown: []string{"top_k"}}, "top_k"},
		"log probabilities": {chat.Request{N: 1, Special: []string{"logprobs"}}, "logprobs"},
		"tools":             {chat.Request{N: 1, Tools: []chat.ToolSpec{{Name: "f"}}}, "tools"},
		"choices":           {chat.Request{N: 2}, "n"},
		"a format":          {chat.Request{N: 1, Format: chat.Format{Kind: chat.JSONObject}}, "response_format"},
		"an image":          {chat.Request{N: 1, Messages: []chat.Message{image}}, "messages[0].content[1]"},
	} {
		t.Run(name, func(t *testing.T) {
			f := fault.As(Capabilities{}.Unfit("a", &c.r))
			if f == nil || f.Kind != fault.Unsupported || f.Param != c.param {
				t.Errorf("got %v", f)
			}
			all := Capabilities{Raw: true, Tools: true, Choices: true, Media: true, Schema: true}
			if err := all.Unfit("a", &c.r); err != nil {
				t.Errorf("an agent that can do all refused: %v", err)
			}
		})
	}
	r := chat.Request{Params: []string{"temperature", "max_tokens", "stop"}}
	if got := (Capabilities{MaxTokens: true}).Ignored(&r); !slices.Equal(got, []string{"temperature"}) {
		t.Errorf("got %v", got)
	}
	if got := (Capabilities{Raw: true}).Ignored(&r); got != nil {
		t.Errorf("got %v", got)
	}
}

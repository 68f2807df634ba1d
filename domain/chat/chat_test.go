package chat

import (
	"reflect"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"agentapi/domain/fault"
)

// However an answer is cut into pieces, the same completion comes out of it.
func TestTheFoldDoesNotDependOnTheChunking(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		text := rapid.String().Draw(t, "text")
		args := rapid.String().Draw(t, "arguments")
		cut := func(s, name string) (out []string) {
			for len(s) > 0 {
				n := rapid.IntRange(1, len(s)).Draw(t, name)
				out, s = append(out, s[:n]), s[n:]
			}
			return out
		}
		fold := func(texts, argss []string) Completion {
			var a Assembler
			add := func(e Event) {
				if err := a.Add(e); err != nil {
					t.Fatal(err)
				}
			}
			for _, s := range texts {
				add(Event{Kind: Text, Text: s})
			}
			add(Event{Kind: Called, Call: &CallDelta{ID: "c", Name: "f"}})
			for _, s := range argss {
				add(Event{Kind: Called, Call: &CallDelta{Arguments: s}})
			}
			add(Event{Kind: Stopped, Reason: ToolCalls})
			add(Event{Kind: Used, Usage: &Usage{Prompt: 1, Completion: 2}})
			add(Event{Kind: Finished})
			return a.Completion()
		}
		whole := fold([]string{text}, []string{args})
		pieces := fold(cut(text, "cut text"), cut(args, "cut arguments"))
		if !reflect.DeepEqual(whole, pieces) {
			t.Fatalf("%+v\n%+v", whole, pieces)
		}
	})
}

func TestABrokenOrderOfEventsIsTheAgentsFault(t *testing.T) {
	text, stop, end := Event{Kind: Text, Text: "x"}, Event{Kind: Stopped, Reason: Stop}, Event{Kind: Finished}
	for name, events := range map[string][]Event{
		"an empty answer":             {end},
		"no finish reason":            {text, end},
		"a choice without its end":    {text, stop, {Kind: Text, Choice: 1}, end},
		"text after the choice's end": {text, stop, text},
		"anything after the end":      {text, stop, end, text},
		"a choice nobody asked for":   {{Kind: Text, Choice: maxChoices}},
		"a negative choice":           {{Kind: Text, Choice: -1}},
		"a gap between tool calls":    {{Kind: Called, Call: &CallDelta{Index: 1}}},
	} {
		t.Run(name, func(t *testing.T) {
			var a Assembler
			var err error
			for _, e := range events {
				if err = a.Add(e); err != nil {
					break
				}
			}
			if !fault.Is(err, fault.Upstream) {
				t.Errorf("got %v", err)
			}
		})
	}
}

func TestTheLastUsageCounts(t *testing.T) {
	var a Assembler
	for _, e := range []Event{{Kind: Used, Usage: &Usage{Prompt: 1}}, {Kind: Used, Usage: &Usage{Prompt: 5, Completion: 2}}} {
		if err := a.Add(e); err != nil {
			t.Fatal(err)
		}
	}
	if got := a.Completion(); !got.Counted || got.Usage.Total() != 7 {
		t.Errorf("got %+v", got.Usage)
	}
}

func request(msgs ...Message) *Request { return &Request{Model: "m", N: 1, Messages: msgs} }

func TestToolMessagesAnswerTheCallsBeforeThem(t *testing.T) {
	user := NewMessage(User, "hi")
	calls := Message{Role: Assistant, ToolCalls: []ToolCall{{ID: "a"}, {ID: "b"}}}
	answer := func(id string) Message { return Message{Role: Tool, ToolCallID: id} }
	for name, c := range map[string]struct {
		r     *Request
		param string
		code  string
	}{
		"all answered":             {request(user, calls, answer("a"), answer("b"), user), "", ""},
		"answered in other order":  {request(user, calls, answer("b"), answer("a")), "", ""},
		"no id":                    {request(user, answer("")), "messages[1].tool_call_id", "missing_required_parameter"},
		"no such call":             {request(user, calls, answer("x")), "messages[2].tool_call_id", "invalid_value"},
		"answered twice":           {request(user, calls, answer("a"), answer("a")), "messages[3].tool_call_id", "invalid_value"},
		"one open, then the user":  {request(user, calls, answer("a"), user), "messages[3]", "invalid_value"},
		"one open at the end":      {request(user, calls, answer("a")), "messages", "invalid_value"},
		"a call of an older turn":  {request(user, calls, answer("a"), answer("b"), user, answer("a")), "messages[5].tool_call_id", "invalid_value"},
		"no model":                 {&Request{N: 1, Messages: []Message{user}}, "model", "missing_required_parameter"},
		"no messages":              {&Request{N: 1, Model: "m"}, "messages", "missing_required_parameter"},
		"too many choices":         {&Request{N: MaxChoices + 1, Model: "m", Messages: []Message{user}}, "n", "out_of_range"},
		"too many messages":        {&Request{N: 1, Model: "m", Messages: make([]Message, MaxMessages+1)}, "messages", "array_too_long"},
		"tokens that would not do": {&Request{N: 1, Model: "m", Messages: []Message{user}, MaxTokens: MaxMaxTokens + 1}, "max_tokens", "out_of_range"},
	} {
		t.Run(name, func(t *testing.T) {
			err := c.r.Validate()
			if err == nil {
				err = CheckOrder(c.r.Messages, 0)
			}
			if c.code == "" {
				if err != nil {
					t.Fatal(err)
				}
				return
			}
			f := fault.As(err)
			if f == nil || f.Kind != fault.Invalid || f.Param != c.param || f.Code != c.code {
				t.Errorf("got %#v", err)
			}
		})
	}
}

func TestMessagesAreTheSameWhateverTheirParts(t *testing.T) {
	cut := Message{Role: User, Parts: []Part{{Kind: TextPart, Text: "he"}, {Kind: TextPart, Text: "llo"}}}
	whole := NewMessage(User, "hello")
	developer, system := NewMessage(Developer, "x"), NewMessage(System, "x")
	other, assistant := NewMessage(User, "hullo"), NewMessage(Assistant, "hello")
	image := Message{Role: User, Parts: []Part{{Kind: TextPart, Text: "hello"}, {Kind: ImagePart, JSON: []byte(`{"x":1}`)}}}
	if !cut.Same(&whole) || !developer.Same(&system) || !image.Same(&image) {
		t.Error("the same is not the same")
	}
	if whole.Same(&other) || whole.Same(&assistant) || whole.Same(&image) || whole.Same(&system) {
		t.Error("what differs is the same")
	}
}

func TestEstimatesGrowWithTheText(t *testing.T) {
	if EstimateTokens("") != 0 || EstimateTokens("hi") != 1 {
		t.Error("small texts")
	}
	if n := EstimateTokens("The quick brown fox jumps over the lazy dog."); n < 8 || n > 14 {
		t.Errorf("ten words are said to be %d tokens", n)
	}
	if n := EstimateTokens("日本語のテキスト"); n < 6 || n > 12 {
		t.Errorf("eight wide runes are said to be %d tokens", n)
	}
}

func BenchmarkFoldOfAWholeAnswer(b *testing.B) {
	text := strings.Repeat("w01@012345 ", 60)
	b.ReportAllocs()
	for b.Loop() {
		var a Assembler
		for _, e := range []Event{{Kind: Text, Text: text}, {Kind: Stopped, Reason: Stop}, {Kind: Finished}} {
			if err := a.Add(e); err != nil {
				b.Fatal(err)
			}
		}
		if len(a.Completion().Choices) != 1 {
			b.Fatal("no choice")
		}
	}
}

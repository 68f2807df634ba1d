package demo_test

import (
	"context"
	"encoding/json"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/santhosh-tekuri/jsonschema/v6"
	"go.uber.org/goleak"

	"agentapi/adapters/agent/demo"
	"agentapi/domain/agent"
	"agentapi/domain/chat"
	"agentapi/domain/fault"
	"agentapi/ports"
	"agentapi/ports/porttest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// served fixes the model, so that one agent of the suite is one model of the demo.
type served struct {
	*demo.Agent
	model  string
	prompt string
}

func (s served) Run(ctx context.Context, task agent.Task) ports.Events {
	task.Model = s.model
	if s.prompt != "" {
		task.Messages = []chat.Message{chat.NewMessage(chat.User, s.prompt)}
	}
	return s.Agent.Run(ctx, task)
}

func open(t *testing.T, delay time.Duration) *demo.Agent {
	t.Helper()
	a, err := demo.Open(demo.Options{Delay: delay})
	if err != nil {
		t.Fatal(err)
	}
	return a
}

func TestAgent(t *testing.T) {
	build := func(model, prompt string, delay time.Duration) func(t *testing.T) ports.Agent {
		return func(t *testing.T) ports.Agent { return served{open(t, delay), model, prompt} }
	}
	porttest.Agent(t, porttest.AgentBench{
		Answering:      build("echo", "", 0),
		FailingAtStart: build("flaky", "503", 0),
		DyingMidway:    build("flaky", "midstream", 0),
		Stalling:       build("slow", "", time.Minute),
		StallingMidway: nil, // slow pauses before every piece alike
		Flooding:       nil, // there is no upstream that could flood
		Model:          "echo",
		Echoes:         true,
	})
}

func ask(t *testing.T, model, prompt string, change ...func(*chat.Request)) (chat.Completion, error) {
	t.Helper()
	r := &chat.Request{Model: model, N: 1, Messages: []chat.Message{chat.NewMessage(chat.User, prompt)}}
	for _, c := range change {
		c(r)
	}
	var all chat.Assembler
	for e, err := range open(t, time.Millisecond).Run(t.Context(), agent.Task{Model: model, Request: r, Messages: r.Messages}) {
		if err != nil {
			return all.Completion(), err
		}
		if err := all.Add(e); err != nil {
			t.Fatal(err)
		}
	}
	return all.Completion(), nil
}

func TestEchoSaysTheLastUserTextVerbatim(t *testing.T) {
	for _, text := range []string{"hello", "", "data: [DONE]\n\n", strings.Repeat("naïve 日本 🎉", 99)} {
		got, err := ask(t, "echo", text)
		if err != nil || got.Choices[0].Message.Text() != text {
			t.Errorf("%q came back as %q, %v", text, got.Choices[0].Message.Text(), err)
		}
		if !got.Usage.Estimated || got.Usage.Prompt == 0 {
			t.Errorf("the usage is %+v", got.Usage)
		}
	}
}

func TestAStoryEndsWhereItMust(t *testing.T) {
	full, err := ask(t, "story", "")
	if err != nil || full.Choices[0].Finish != chat.Stop || !strings.Contains(full.Choices[0].Message.Text(), "demonstration") {
		t.Fatalf("%+v, %v", full, err)
	}
	short, _ := ask(t, "story", "", func(r *chat.Request) { r.MaxTokens = 7 })
	if short.Choices[0].Finish != chat.Length || short.Usage.Completion > 7 || short.Choices[0].Message.Text() == "" {
		t.Errorf("with 7 tokens: %+v", short)
	}
	stopped, _ := ask(t, "story", "", func(r *chat.Request) { r.Stop = []string{"nowhere", "o model"} })
	if got := stopped.Choices[0]; got.Finish != chat.Stop || !strings.HasSuffix(got.Message.Text(), "It had n") {
		t.Errorf("with a stop across two words: %+v", got)
	}
}

func TestToolsAreCalledAndTheirResultsTold(t *testing.T) {
	weather := chat.ToolSpec{Name: "weather", Parameters: json.RawMessage(`{"type":"object","properties":{"city":{"type":"string"},"unit":{"enum":["C","F"]}},"required":["city"]}`)}
	offer := func(r *chat.Request) { r.Tools = []chat.ToolSpec{{Name: "other"}, weather} }
	got, err := ask(t, "tools", "rain?", offer, func(r *chat.Request) {
		r.ToolChoice = json.RawMessage(`{"type":"function","function":{"name":"weather"}}`)
	})
	c := got.Choices[0]
	if err != nil || c.Finish != chat.ToolCalls || len(c.Message.ToolCalls) != 1 || c.Message.ToolCalls[0].Name != "weather" ||
		c.Message.ToolCalls[0].Arguments != `{"city":"demo","unit":"C"}` {
		t.Fatalf("%+v, %v", got, err)
	}
	got, _ = ask(t, "tools", "rain?", offer, func(r *chat.Request) {
		r.Messages = append(r.Messages, c.Message, chat.Message{Role: chat.Tool, ToolCallID: c.Message.ToolCalls[0].ID, Parts: []chat.Part{{Kind: chat.TextPart, Text: "sunny"}}})
	})
	if got.Choices[0].Message.Text() != "The tool answered: sunny" || got.Choices[0].Finish != chat.Stop {
		t.Errorf("%+v", got)
	}
	got, _ = ask(t, "tools", "rain?", offer, func(r *chat.Request) { r.ToolChoice = json.RawMessage(`"none"`) })
	if len(got.Choices[0].Message.ToolCalls) != 0 {
		t.Errorf("a tool was called though none may be: %+v", got)
	}
}

func TestJSONFitsTheSchema(t *testing.T) {
	for _, text := range []string{
		`{"type":"object","properties":{"a":{"type":"string","minLength":9},"n":{"type":"integer","minimum":3},"ok":{"type":"boolean"}},"required":["a","n","ok"],"additionalProperties":false}`,
		`{"type":"object","properties":{"list":{"type":"array","minItems":2,"items":{"$ref":"#/$defs/e"}},"none":{"type":["string","null"]}},"required":["list"],"$defs":{"e":{"type":"object","properties":{"k":{"enum":["x","y"]}},"required":["k"]}}}`,
		`{"type":"object","properties":{"v":{"type":"number"},"next":{"anyOf":[{"$ref":"#"},{"type":"null"}]}},"required":["v","next"]}`,
	} {
		got, err := ask(t, "json", "x", func(r *chat.Request) {
			r.Format = chat.Format{Kind: chat.JSONSchema, Schema: json.RawMessage(text)}
		})
		if err != nil {
			t.Fatal(err)
		}
		doc, err := jsonschema.UnmarshalJSON(strings.NewReader(text))
		if err != nil {
			t.Fatal(err)
		}
		c := jsonschema.NewCompiler()
		if err := c.AddResource("s.json", doc); err != nil {
			t.Fatal(err)
		}
		answer, err := jsonschema.UnmarshalJSON(strings.NewReader(got.Choices[0].Message.Text()))
		if err != nil {
			t.Fatal(err)
		}
		if err := c.MustCompile("s.json").Validate(answer); err != nil {
			t.Errorf("%s: %v", got.Choices[0].Message.Text(), err)
		}
	}
	if got, _ := ask(t, "json", `a "b"`); !json.Valid([]byte(got.Choices[0].Message.Text())) {
		t.Errorf("%q is no JSON", got.Choices[0].Message.Text())
	}
}

func TestFlakyFailsAsThePromptSays(t *testing.T) {
	for prompt, want := range map[string]fault.Kind{"503": fault.Unavailable, "a 429 please": fault.RateLimited, "timeout": fault.Timeout, "midstream": fault.Upstream, "": fault.Unavailable} {
		if _, err := ask(t, "flaky", prompt); !fault.Is(err, want) {
			t.Errorf("%q: %v", prompt, err)
		}
	}
}

func TestAnUnknownModelIsRefused(t *testing.T) {
	if _, err := ask(t, "gpt", "x"); !fault.Is(err, fault.Unsupported) {
		t.Errorf("got %v", err)
	}
}

func TestSlowTakesItsTimeAndLeavesWithItsContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := open(t, 50*time.Millisecond)
		ctx, cancel := context.WithTimeout(t.Context(), 175*time.Millisecond)
		defer cancel()
		texts, began := 0, time.Now()
		for e, err := range a.Run(ctx, agent.Task{Model: "slow", Request: &chat.Request{N: 1}}) {
			if err != nil {
				if !fault.Is(err, fault.Timeout) || texts != 3 || time.Since(began) != 175*time.Millisecond {
					t.Errorf("after %v and %d texts: %v", time.Since(began), texts, err)
				}
				return
			}
			if e.Kind == chat.Text {
				texts++
			}
		}
		t.Error("the answer ended well")
	})
}

func TestADelayThatCannotBeMeantIsRefused(t *testing.T) {
	for _, d := range []time.Duration{-1, time.Hour} {
		if _, err := demo.Open(demo.Options{Delay: d}); !fault.Is(err, fault.Invalid) {
			t.Errorf("%v: %v", d, err)
		}
	}
}

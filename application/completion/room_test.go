package completion_test

import (
	"context"
	"strings"
	"testing"
	"time"

	"agentapi/adapters/tokenizer/tiktoken"
	"agentapi/application/catalog"
	"agentapi/application/completion"
	"agentapi/application/routing"
	"agentapi/application/tokens"
	"agentapi/domain/agent"
	"agentapi/domain/chat"
	"agentapi/domain/fault"
)

// rooms is a house whose agents' models have these contexts.
func rooms(t *testing.T, ways *routing.Service, contexts []int, agents ...*scripted) *house {
	t.Helper()
	return buildWith(t, func(c *catalog.Params, p *completion.Params) {
		for i := range c.Entries {
			c.Entries[i].Models = []agent.Model{{ID: "m"}, {ID: "gpt-4o*", Context: contexts[i]}, {ID: "gpt-*", Context: 1}}
		}
		p.Tokens, p.Routing = &tokens.Counter{Tokenizer: tiktoken.New()}, ways
	}, agents...)
}

func (h *house) long(words int) completion.Command {
	cmd := h.ask(strings.Repeat(" forest", words))
	cmd.Request.Model, cmd.RequestID = "gpt-4o", "r"
	return cmd
}

func TestAModelWithoutRoomIsPassedOverAndNotAsked(t *testing.T) {
	small, large := says(text("ok"), used, stopped, finished), says(text("ok"), used, stopped, finished)
	ways := routing.New(routing.Params{Now: time.Now})
	h := rooms(t, ways, []int{500, 2000}, small, large)
	if w, err := h.Complete(t.Context(), h.long(400)); err != nil || w.Agent != "first" {
		t.Fatal(w, err)
	}
	if w, err := h.Complete(t.Context(), h.long(1000)); err != nil || w.Agent != "second" || w.Attempts != 1 {
		t.Fatal(w, err)
	}
	if d, err := ways.Explain(t.Context(), "r"); err != nil || len(d.Candidates) != 2 || d.Candidates[1].Verdict != agent.Incapable || d.Candidates[1].Why != "messages" {
		t.Errorf("%+v, %v", d, err)
	}
	_, err := h.Complete(t.Context(), h.long(3000))
	f := fault.As(err)
	if f == nil || f.Kind != fault.TooLong || f.Code != "context_length_exceeded" || f.Param != "messages" || !strings.Contains(f.Message, "500 tokens. However, your messages resulted in 3007 tokens") {
		t.Errorf("what fits nowhere: %v", err)
	}
	if small.runs.Load() != 1 || large.runs.Load() != 1 {
		t.Errorf("they were asked %d and %d times", small.runs.Load(), large.runs.Load())
	}
}

// What a prompt really takes only its model knows. Where that has no room for it, one that
// is known to have more is asked, and nobody else.
func TestAPromptThatIsTooLongIsForAModelWithMoreRoom(t *testing.T) {
	tooLong := fault.New(fault.TooLong, "The prompt is too long for the model.").WithCode("context_length_exceeded")
	for name, c := range map[string]struct {
		contexts []int
		by       agent.Name // empty: nobody answers
		asked    []int32
	}{
		"one with more room":                   {[]int{500, 500, 0, 2000}, "fourth", []int32{1, 0, 0, 1}},
		"the first one has none that is known": {[]int{0, 20, 2000, 0}, "third", []int32{1, 0, 1, 0}},
		"none is known to have more":           {[]int{500, 500, 0, 400}, "", []int32{1, 0, 0, 0}},
		"none is known at all":                 {[]int{0, 0, 0, 0}, "", []int32{1, 0, 0, 0}},
	} {
		t.Run(name, func(t *testing.T) {
			agents := []*scripted{fails(tooLong)}
			for range 3 {
				agents = append(agents, says(text("ok"), used, stopped, finished))
			}
			h := rooms(t, nil, c.contexts, agents...)
			w, err := h.Complete(t.Context(), h.long(20))
			switch {
			case c.by == "" && (!fault.Is(err, fault.TooLong) || fault.As(err).Code != "context_length_exceeded"), c.by != "" && err != nil:
				t.Errorf("got %v", err)
			case c.by != "" && (w.Agent != c.by || w.Attempts != 2):
				t.Errorf("by %s after %d attempts", w.Agent, w.Attempts)
			}
			for i, a := range agents {
				if a.runs.Load() != c.asked[i] {
					t.Errorf("the agent %d was asked %d times", i, a.runs.Load())
				}
			}
		})
	}
	both := []*scripted{fails(tooLong), fails(tooLong)}
	h := rooms(t, nil, []int{500, 1000}, both...)
	if _, err := h.Complete(t.Context(), h.long(20)); !fault.Is(err, fault.TooLong) || fault.As(err).Code != "context_length_exceeded" || both[1].runs.Load() != 1 {
		t.Errorf("where the one with more room has too little: %v", err)
	}
}

func TestAnAgentWithASessionOfItsOwnMindsItsContext(t *testing.T) {
	own := says(chat.Event{Kind: chat.Started, Text: "native-1"}, text("ok"), used, stopped, finished)
	h := rooms(t, nil, []int{500}, own)
	first := h.long(300)
	first.Conversation.Key.Source, first.Conversation.Key.Value = "x", "y"
	w, err := h.Complete(t.Context(), first)
	if err != nil {
		t.Fatal(err)
	}
	second := h.long(300)
	second.Conversation = first.Conversation
	second.Request.Messages = append(append([]chat.Message{}, first.Request.Messages...), w.Completion.Choices[0].Message, second.Request.Messages[0])
	if _, err := h.Complete(t.Context(), second); err != nil {
		t.Errorf("it has what was said before: %v", err)
	}
}

func TestWhatAnAgentDoesNotReportIsBookedAsItsModelCounts(t *testing.T) {
	silent := &scripted{run: func(_ context.Context, _ agent.Task, yield func(chat.Event, error) bool) {
		_ = yield(text(" forest forest forest"), nil) && yield(stopped, nil) && yield(finished, nil)
	}}
	h := rooms(t, nil, []int{0}, silent)
	w, err := h.Complete(t.Context(), h.long(100))
	if want := (chat.Usage{Prompt: 107, Completion: 3, Estimated: true}); err != nil || w.Completion.Usage != want {
		t.Errorf("%+v, %v", w, err)
	}
}

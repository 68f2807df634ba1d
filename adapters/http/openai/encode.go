package openai

import (
	"strconv"

	"agentapi/adapters/http/problem"
	"agentapi/application/completion"
	"agentapi/domain/chat"
	"agentapi/domain/jsontext"
)

// encoder appends the server-sent events of one streaming answer. It does not
// allocate but for the caller's buffer.
type encoder struct {
	prefix    []byte // `data: {…,` up to where the chunks differ
	tail      string // what ends a chunk
	usage     []byte // the last usage object, when it is to be reported
	report    bool
	functions bool // the deprecated function_call shape was asked for
	roles     [chat.MaxChoices / 64]uint64
	requestID string

	answer string // whose name stands in the events' ids; empty: they have none
	n      int    // events so far
	skip   int    // as many the client has already
	start  int    // where the event that is being appended begins
}

func newEncoder(head *completion.Head, r *chat.Request, requestID string) *encoder {
	e := &encoder{tail: "}\n\n", report: r.IncludeUsage, functions: r.Functions, requestID: requestID}
	e.prefix = appendHead([]byte("data: "), head, "chat.completion.chunk")
	if e.report {
		e.tail = ",\"usage\":null}\n\n"
	}
	return e
}

// begin begins an event that can be resumed after.
func (e *encoder) begin(b []byte) []byte {
	e.n++
	e.start = len(b)
	if e.answer != "" {
		b = append(b, "id: "...)
		b = append(b, e.answer...)
		b = append(b, '.')
		b = strconv.AppendInt(b, int64(e.n), 10)
		b = append(b, '\n')
	}
	return append(b, e.prefix...)
}

// end ends it, and takes it back where the client has it already.
func (e *encoder) end(b []byte, tail string) []byte {
	if e.n <= e.skip {
		return b[:e.start]
	}
	return append(b, tail...)
}

// appendHead begins an object with the members that all chunks, or a whole
// answer, have in common.
func appendHead(b []byte, head *completion.Head, object string) []byte {
	b = append(b, `{"id":`...)
	b = jsontext.AppendString(b, head.ID)
	b = append(b, `,"object":"`...)
	b = append(b, object...)
	b = append(b, `","created":`...)
	b = strconv.AppendInt(b, head.Created.Unix(), 10)
	b = append(b, `,"model":`...)
	b = jsontext.AppendString(b, head.Model)
	return append(b, ',')
}

// event appends what becomes of an event: nothing, one chunk or several.
func (e *encoder) event(b []byte, ev *chat.Event) []byte {
	switch ev.Kind {
	case chat.Text, chat.Refused, chat.Called, chat.Stopped:
		if ev.Held {
			return b
		}
		b = e.role(b, ev.Choice)
		b = e.begin(b)
		if ev.Native != nil {
			b = append(b, ev.Native...)
		} else {
			b = e.delta(b, ev)
		}
		return e.end(b, e.tail)
	case chat.Thought:
		if ev.Held || ev.Native == nil {
			return b // reasoning is shown only where the upstream itself shows it
		}
		b = e.role(b, ev.Choice)
		b = e.begin(b)
		b = append(b, ev.Native...)
		return e.end(b, e.tail)
	case chat.Used:
		if e.report && ev.Native != nil {
			e.usage = append(e.usage[:0], ev.Native...)
		} else if e.report {
			e.usage = appendUsage(e.usage[:0], *ev.Usage)
		}
		return b
	case chat.Finished:
		if e.report {
			b = e.begin(b)
			b = append(b, `"choices":[],"usage":`...)
			b = append(b, e.usage...)
			b = e.end(b, "}\n\n")
		}
		return append(b, "data: [DONE]\n\n"...)
	default:
		return b
	}
}

// role appends the choice's first chunk, which says who speaks, unless it was.
func (e *encoder) role(b []byte, choice int) []byte {
	word, bit := &e.roles[choice/64], uint64(1)<<(choice%64)
	if *word&bit != 0 {
		return b
	}
	*word |= bit
	b = e.begin(b)
	b = appendChoice(b, choice)
	b = append(b, `{"role":"assistant","content":"","refusal":null},"logprobs":null,"finish_reason":null}]`...)
	return e.end(b, e.tail)
}

func appendChoice(b []byte, choice int) []byte {
	b = append(b, `"choices":[{"index":`...)
	b = strconv.AppendInt(b, int64(choice), 10)
	return append(b, `,"delta":`...)
}

// delta appends the choices of a chunk that has one event.
func (e *encoder) delta(b []byte, ev *chat.Event) []byte {
	b = appendChoice(b, ev.Choice)
	switch ev.Kind {
	case chat.Text:
		b = append(b, `{"content":`...)
		b = jsontext.AppendString(b, ev.Text)
		b = append(b, '}')
	case chat.Refused:
		b = append(b, `{"refusal":`...)
		b = jsontext.AppendString(b, ev.Text)
		b = append(b, '}')
	case chat.Called:
		b = e.call(b, ev.Call)
	default:
		b = append(b, "{}"...)
	}
	b = append(b, `,"logprobs":null,"finish_reason":`...)
	if ev.Kind != chat.Stopped {
		return append(b, "null}]"...)
	}
	b = append(b, '"')
	b = append(b, finishReason(ev.Reason, e.functions)...)
	return append(b, `"}]`...)
}

// finishReason is the reason in the shape that was asked for.
func finishReason(r chat.FinishReason, functions bool) chat.FinishReason {
	if functions && r == chat.ToolCalls {
		return chat.FunctionCall
	}
	return r
}

// call appends the delta of a tool call's piece.
func (e *encoder) call(b []byte, c *chat.CallDelta) []byte {
	first := c.ID != "" || c.Name != ""
	if e.functions {
		b = append(b, `{"function_call":{`...)
		return append(appendFunction(b, first, c.Name, "arguments", c.Arguments), "}}"...)
	}
	b = append(b, `{"tool_calls":[{"index":`...)
	b = strconv.AppendInt(b, int64(c.Index), 10)
	field, input := "function", "arguments"
	if c.Custom {
		field, input = "custom", "input"
	}
	if first {
		b = append(b, `,"id":`...)
		b = jsontext.AppendString(b, c.ID)
		b = append(b, `,"type":"`...)
		b = append(b, field...)
		b = append(b, '"')
	}
	b = append(b, `,"`...)
	b = append(b, field...)
	b = append(b, `":{`...)
	return append(appendFunction(b, first, c.Name, input, c.Arguments), "}}]}"...)
}

func appendFunction(b []byte, named bool, name, input, arguments string) []byte {
	if named {
		b = append(b, `"name":`...)
		b = jsontext.AppendString(b, name)
		b = append(b, ',')
	}
	b = append(b, '"')
	b = append(b, input...)
	b = append(b, `":`...)
	return jsontext.AppendString(b, arguments)
}

// fail appends the event that ends a stream with an error; nothing may follow.
func (e *encoder) fail(b []byte, err error) []byte {
	b = append(b, `data: {"error":`...)
	b = problem.From(err).AppendError(b, e.requestID)
	return append(b, "}\n\n"...)
}

func appendUsage(b []byte, u chat.Usage) []byte {
	number := func(name string, n int) {
		b = append(b, name...)
		b = strconv.AppendInt(b, int64(n), 10)
	}
	number(`{"prompt_tokens":`, u.Prompt)
	number(`,"completion_tokens":`, u.Completion)
	number(`,"total_tokens":`, u.Total())
	number(`,"prompt_tokens_details":{"cached_tokens":`, u.Cached)
	number(`,"cache_write_tokens":`, u.CacheWrite)
	number(`,"audio_tokens":`, u.PromptAudio)
	number(`},"completion_tokens_details":{"reasoning_tokens":`, u.Reasoning)
	number(`,"audio_tokens":`, u.CompletionAudio)
	number(`,"accepted_prediction_tokens":`, u.AcceptedPrediction)
	number(`,"rejected_prediction_tokens":`, u.RejectedPrediction)
	return append(b, "}}"...)
}

// appendWhole appends the body of a whole answer.
func appendWhole(b []byte, w *completion.Whole, functions bool) []byte {
	b = appendHead(b, &w.Head, "chat.completion")
	if w.Completion.Native != nil {
		b = append(b, w.Completion.Native...)
		return append(b, '}')
	}
	b = append(b, `"choices":[`...)
	for i := range w.Completion.Choices {
		if i > 0 {
			b = append(b, ',')
		}
		b = appendWholeChoice(b, i, &w.Completion.Choices[i], functions)
	}
	b = append(b, `],"usage":`...)
	b = appendUsage(b, w.Completion.Usage)
	return append(b, '}')
}

func appendWholeChoice(b []byte, index int, c *chat.Choice, functions bool) []byte {
	m := &c.Message
	b = append(b, `{"index":`...)
	b = strconv.AppendInt(b, int64(index), 10)
	b = append(b, `,"message":{"role":"assistant","content":`...)
	if m.Parts == nil {
		b = append(b, "null"...)
	} else {
		b = jsontext.AppendString(b, m.Text())
	}
	b = append(b, `,"refusal":`...)
	if m.Refusal == "" {
		b = append(b, "null"...)
	} else {
		b = jsontext.AppendString(b, m.Refusal)
	}
	b = append(b, `,"annotations":[]`...)
	switch {
	case len(m.ToolCalls) > 0 && functions:
		b = append(b, `,"function_call":{`...)
		b = appendFunction(b, true, m.ToolCalls[0].Name, "arguments", m.ToolCalls[0].Arguments)
		b = append(b, '}')
	case len(m.ToolCalls) > 0:
		b = append(b, `,"tool_calls":`...)
		b = appendToolCalls(b, m.ToolCalls)
	}
	b = append(b, `},"logprobs":null,"finish_reason":"`...)
	b = append(b, finishReason(c.Finish, functions)...)
	return append(b, `"}`...)
}

func appendToolCalls(b []byte, calls []chat.ToolCall) []byte {
	b = append(b, '[')
	for i, c := range calls {
		if i > 0 {
			b = append(b, ',')
		}
		field, input := "function", "arguments"
		if c.Custom {
			field, input = "custom", "input"
		}
		b = append(b, `{"id":`...)
		b = jsontext.AppendString(b, c.ID)
		b = append(b, `,"type":"`...)
		b = append(b, field...)
		b = append(b, `","`...)
		b = append(b, field...)
		b = append(b, `":{`...)
		b = appendFunction(b, true, c.Name, input, c.Arguments)
		b = append(b, "}}"...)
	}
	return append(b, ']')
}

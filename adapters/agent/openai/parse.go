package openai

import (
	"bytes"
	"cmp"
	"encoding/json"
	"errors"
	"slices"
	"strconv"
	"strings"
	"time"

	"agentapi/adapters/agent/refusal"
	"agentapi/domain/agent"
	"agentapi/domain/chat"
	"agentapi/domain/fault"
	"agentapi/domain/jsontext"
)

// parser turns one text of an upstream's, a chunk or a whole answer, into events.
type parser struct {
	*answer
	r      jsontext.Reader
	data   []byte // the text that is being parsed
	pieces []piece
	events []chat.Event
	native []byte // the members that are passed on
	keep   bool   // native is right; false where the text had to be repaired

	cuts []span   // what is left out of the bytes of the choice that is being read
	adds []insert // and what is added to them
}

// answer is what must be remembered from chunk to chunk.
type answer struct {
	hide    func(string) string // takes what is secret out of an error's words
	choices []choiceState
	usage   *chat.Usage
	rawUse  []byte // the usage object, where it is complete
	room    [128]byte
}

// choiceState is what must be remembered of one choice.
type choiceState struct {
	calls  []call // its tool calls, by index
	finish chat.FinishReason
}

// call is what must be remembered of a tool call.
type call struct {
	id   string
	said int // the index by which the upstream calls it; -1: it gives none
}

func nonsense(err error) error {
	return fault.Wrap(fault.Upstream, err, "The agent's upstream sent what is no answer.").WithCode("upstream_error")
}

// choice gives the state of a choice, making it where it is new. It is valid until the
// next call.
func (a *answer) choice(index int) (*choiceState, error) {
	if index < 0 || index >= chat.MaxChoices {
		return nil, nonsense(errors.New("a wild choice index"))
	}
	for len(a.choices) <= index {
		a.choices = append(a.choices, choiceState{})
	}
	return &a.choices[index], nil
}

// complete tells whether the answer has ended in all its choices.
func (a *answer) complete() bool {
	for _, c := range a.choices {
		if c.finish == "" {
			return false
		}
	}
	return len(a.choices) > 0
}

// repaired parses text again after what is invalid in its encoding was replaced,
// as a half of a surrogate pair is that was cut in two. It is passed on no more.
func repaired(text []byte) ([]byte, error) {
	d := json.NewDecoder(bytes.NewReader(bytes.ToValidUTF8(text, []byte("\ufffd"))))
	d.UseNumber()
	var v any
	if err := d.Decode(&v); err != nil {
		return nil, nonsense(err)
	}
	return json.Marshal(v)
}

// top walks over the members of a chunk or a body and keeps those that are
// passed on. choices reads the choices and appends what is kept of them.
func (p *parser) top(choices func() error) error {
	if p.r.Kind() != '{' {
		return nonsense(errors.New("not an object"))
	}
	if err := p.r.Enter('{'); err != nil {
		return err
	}
	for first := true; ; first = false {
		name, ok, err := p.r.Member(first)
		if !ok {
			return err
		}
		switch string(name) {
		case "id", "object", "created", "model":
			if _, err := p.r.Value(); err != nil {
				return err
			}
		case "choices":
			if p.r.Kind() == 'n' {
				if err := p.r.Null(); err != nil {
					return err
				}
				continue
			}
			p.member("choices")
			if err := choices(); err != nil {
				return err
			}
		case "usage":
			raw, err := p.r.Value()
			if err != nil {
				return err
			}
			p.take(raw)
		case "error":
			raw, err := p.r.Value()
			if err != nil {
				return err
			}
			if string(raw) != "null" {
				return refusal.InBand(slices.Concat([]byte(`{"error":`), raw, []byte("}")), p.hide)
			}
		case "x_groq":
			raw, err := p.r.Value()
			if err != nil {
				return err
			}
			p.groq(raw)
			p.member("x_groq")
			p.native = append(p.native, raw...)
		default:
			p.member(string(name))
			raw, err := p.r.Value()
			if err != nil {
				return err
			}
			p.native = append(p.native, raw...)
		}
	}
}

// member begins a member that is passed on.
func (p *parser) member(name string) {
	if len(p.native) > 0 {
		p.native = append(p.native, ',')
	}
	p.native = jsontext.AppendString(p.native, name)
	p.native = append(p.native, ':')
}

// groq finds the usage where Groq puts it.
func (a *answer) groq(raw []byte) {
	r := jsontext.NewReader(raw)
	if r.Kind() != '{' {
		return
	}
	_ = walk(r, func(name []byte) error {
		v, err := r.Value()
		if err == nil && string(name) == "usage" {
			a.take(v)
		}
		return err
	})
}

// take reads a usage object; the last one counts.
func (a *answer) take(raw []byte) {
	r := jsontext.NewReader(raw)
	if r.Kind() != '{' {
		return
	}
	var (
		u    chat.Usage
		have int
	)
	exact := true // every number is a plain one, so that the bytes may be passed on
	number := func(r *jsontext.Reader, into *int) (ok bool, err error) {
		text, err := r.Value()
		if err != nil {
			return false, err
		}
		n, bad := strconv.Atoi(string(text))
		if bad != nil || n < 0 || n >= chat.MaxMaxTokens {
			exact = false
			f, bad := strconv.ParseFloat(strings.Trim(string(text), `"`), 64)
			if bad != nil || f < 0 || f >= chat.MaxMaxTokens {
				return false, nil
			}
			n = int(f)
		}
		*into = n
		return true, nil
	}
	details := func(of func(name []byte) *int) error {
		if r.Kind() != '{' {
			raw, err := r.Value()
			exact = exact && err == nil && raw[0] == 'n'
			return err
		}
		return walk(r, func(name []byte) error {
			if field := of(name); field != nil {
				_, err := number(r, field)
				return err
			}
			raw, err := r.Value()
			exact = exact && err == nil && raw[0] != 'n'
			return err
		})
	}
	total := 0
	required := func(bit int, into *int) error {
		ok, err := number(r, into)
		if ok {
			have |= bit
		}
		return err
	}
	err := walk(r, func(name []byte) error {
		switch string(name) {
		case "prompt_tokens":
			return required(1, &u.Prompt)
		case "completion_tokens":
			return required(2, &u.Completion)
		case "total_tokens":
			return required(4, &total)
		case "prompt_tokens_details":
			return details(func(name []byte) *int {
				switch string(name) {
				case "cached_tokens":
					return &u.Cached
				case "cache_write_tokens":
					return &u.CacheWrite
				case "audio_tokens":
					return &u.PromptAudio
				default:
					return nil
				}
			})
		case "completion_tokens_details":
			return details(func(name []byte) *int {
				switch string(name) {
				case "reasoning_tokens":
					return &u.Reasoning
				case "audio_tokens":
					return &u.CompletionAudio
				case "accepted_prediction_tokens":
					return &u.AcceptedPrediction
				case "rejected_prediction_tokens":
					return &u.RejectedPrediction
				default:
					return nil
				}
			})
		default:
			_, err := r.Value()
			return err
		}
	})
	if err != nil || have&3 == 0 {
		return
	}
	a.usage, a.rawUse = &u, nil
	if have == 7 && exact {
		a.rawUse = append(a.room[:0], raw...)
	}
}

// used is the event that reports the usage.
func (a *answer) used() chat.Event {
	return chat.Event{Kind: chat.Used, Usage: a.usage, Native: a.rawUse}
}

// finishReason maps what upstreams say to what OpenAI's clients know; empty where
// the upstream says that it failed.
func finishReason(said []byte, called bool) chat.FinishReason {
	switch string(said) {
	case "stop", "end_turn", "stop_sequence", "eos", "STOP":
		if called {
			return chat.ToolCalls // some servers say stop when they have called tools
		}
		return chat.Stop
	case "length", "max_tokens", "MAX_TOKENS", "model_length":
		return chat.Length
	case "tool_calls", "tool_use", "tool_call":
		return chat.ToolCalls
	case "function_call":
		return chat.FunctionCall
	case "error", "abort", "aborted", "cancelled", "canceled", "failed":
		return "" // the answer was not completed
	case "content_filter", "refusal", "safety", "SAFETY", "RECITATION", "PROHIBITED_CONTENT", "BLOCKLIST", "SPII":
		return chat.ContentFilter
	default:
		return chat.Stop
	}
}

// parseModels reads a list of models.
func parseModels(body []byte) ([]agent.Model, error) {
	var list struct {
		Data []struct {
			ID      string  `json:"id"`
			Created float64 `json:"created"`
			OwnedBy string  `json:"owned_by"`
			Length  tokens  `json:"context_length"` // OpenRouter's
			MaxLen  tokens  `json:"max_model_len"`  // vLLM's
			Window  tokens  `json:"context_window"` // Groq's, and this server's
		} `json:"data"`
	}
	if err := json.Unmarshal(body, &list); err != nil {
		return nil, nonsense(err)
	}
	var out []agent.Model
	for _, m := range list.Data {
		if m.ID != "" {
			out = append(out, agent.Model{ID: m.ID, Created: time.Unix(int64(m.Created), 0), OwnedBy: m.OwnedBy, Context: int(cmp.Or(m.Length, m.MaxLen, m.Window))})
		}
	}
	return out, nil
}

// tokens is a number of them; 0: none was said, or none that can be.
type tokens int

func (n *tokens) UnmarshalJSON(text []byte) error {
	if v, err := strconv.ParseInt(string(text), 10, 32); err == nil && v > 0 {
		*n = tokens(v)
	}
	return nil
}

func read(r *jsontext.Reader, into *string) (err error) {
	*into, err = r.String()
	return err
}

// walk calls each for every member of the object that follows. The name is valid until
// each returns.
func walk(r *jsontext.Reader, each func(name []byte) error) error {
	if err := r.Enter('{'); err != nil {
		return err
	}
	for first := true; ; first = false {
		name, ok, err := r.Member(first)
		if !ok {
			return err
		}
		if err := each(name); err != nil {
			return err
		}
	}
}

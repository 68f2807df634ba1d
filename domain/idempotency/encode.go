package idempotency

import (
	"encoding/json"
	"fmt"
	"slices"
	"time"

	"agentapi/domain/chat"
	"agentapi/domain/fault"
)

// resultJSON is a Result as it is written: names of its own, so
// that the domain can change its words without losing what is kept.
type resultJSON struct {
	ID        string       `json:"id,omitempty"`
	Created   time.Time    `json:"created"`
	Model     string       `json:"model,omitempty"`
	Agent     string       `json:"agent,omitempty"`
	AgentID   string       `json:"agent_model,omitempty"`
	Attempts  int          `json:"attempts,omitempty"`
	Route     string       `json:"route,omitempty"`
	Session   string       `json:"session,omitempty"`
	How       string       `json:"how,omitempty"`
	Ignored   []string     `json:"ignored,omitempty"`
	Events    []eventJSON  `json:"events,omitempty"`
	Failure   *failureJSON `json:"failure,omitempty"`
	Completed time.Time    `json:"completed"`
}

type eventJSON struct {
	Kind   string          `json:"kind"`
	Choice int             `json:"choice,omitempty"`
	Text   string          `json:"text,omitempty"`
	Call   *chat.CallDelta `json:"call,omitempty"`
	Usage  *chat.Usage     `json:"usage,omitempty"`
	Reason string          `json:"reason,omitempty"`
	Native []byte          `json:"native,omitempty"` // any bytes, so in base64
	Held   bool            `json:"held,omitempty"`
	More   bool            `json:"more,omitempty"`
}

type failureJSON struct {
	Kind       string        `json:"kind"`
	Code       string        `json:"code,omitempty"`
	Type       string        `json:"type,omitempty"`
	Param      string        `json:"param,omitempty"`
	Message    string        `json:"message"`
	Hint       string        `json:"hint,omitempty"`
	RetryAfter time.Duration `json:"retry_after_ns,omitempty"`
}

var eventNames = [...]string{
	chat.Started: "started", chat.Text: "text", chat.Thought: "thought", chat.Refused: "refused", chat.Called: "called",
	chat.Acted: "acted", chat.Used: "used", chat.Stopped: "stopped", chat.Finished: "finished",
}

// Encode writes a result as JSON, with names of its own, which Decode reads.
func Encode(r *Result) ([]byte, error) {
	out := resultJSON{
		ID: r.ID, Created: r.Created, Model: r.Model, Agent: r.Agent, AgentID: r.AgentID, Attempts: r.Attempts, Route: r.Route,
		Session: r.Session, How: r.How, Ignored: r.Ignored, Completed: r.Completed,
	}
	for i := range r.Events {
		e := &r.Events[i]
		if e.Kind == 0 || int(e.Kind) >= len(eventNames) {
			return nil, fmt.Errorf("there is no event kind %d", e.Kind)
		}
		out.Events = append(out.Events, eventJSON{
			Kind: eventNames[e.Kind], Choice: e.Choice, Text: e.Text, Call: e.Call, Usage: e.Usage,
			Reason: string(e.Reason), Native: e.Native, Held: e.Held, More: e.More,
		})
	}
	if f := r.Failure; f != nil {
		out.Failure = &failureJSON{f.Kind.String(), f.Code, f.Type, f.Param, f.Message, f.Hint, f.RetryAfter}
	}
	return json.Marshal(out)
}

// Decode reads what Encode has written, by this version or an older one.
func Decode(text []byte) (r Result, err error) {
	var in resultJSON
	if err := json.Unmarshal(text, &in); err != nil {
		return r, err
	}
	r = Result{
		ID: in.ID, Created: in.Created, Model: in.Model, Agent: in.Agent, AgentID: in.AgentID, Attempts: in.Attempts, Route: in.Route,
		Session: in.Session, How: in.How, Ignored: in.Ignored, Completed: in.Completed,
	}
	for _, e := range in.Events {
		kind := slices.Index(eventNames[:], e.Kind)
		if kind < 1 {
			return r, fmt.Errorf("there is no event kind %q", e.Kind)
		}
		r.Events = append(r.Events, chat.Event{
			Kind: chat.EventKind(kind), Choice: e.Choice, Text: e.Text, Call: e.Call, Usage: e.Usage,
			Reason: chat.FinishReason(e.Reason), Native: e.Native, Held: e.Held, More: e.More,
		})
	}
	if f := in.Failure; f != nil {
		all := fault.Kinds()
		at := slices.IndexFunc(all, func(k fault.Kind) bool { return k.String() == f.Kind })
		if at < 0 {
			return r, fmt.Errorf("there is no fault kind %q", f.Kind)
		}
		r.Failure = &fault.Error{Kind: all[at], Code: f.Code, Type: f.Type, Param: f.Param, Message: f.Message, Hint: f.Hint, RetryAfter: f.RetryAfter}
	}
	return r, nil
}

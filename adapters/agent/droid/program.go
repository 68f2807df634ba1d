package droid

import (
	"bytes"
	"context"
	"encoding/json"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"agentapi/adapters/agent/process"
	"agentapi/adapters/agent/refusal"
	"agentapi/adapters/agent/relay"
	"agentapi/domain/fault"
)

// program is a droid that runs.
type program struct {
	owner  owner
	model  string
	folder folder
	agent  *Agent
	pass   *relay.Pass
	live   *process.Live

	dialogue
	turn   atomic.Bool   // one is under way
	notes  chan note     // what it is made of
	quit   chan struct{} // closed when nobody will read notes any more
	once   sync.Once
	native string // its session's id
	seen   string // the digest of what its session holds

	since time.Time // when it began to wait
	timer *time.Timer
}

// start starts a process for the owner's session.
func (a *Agent) start(ctx context.Context, id owner, model string) (_ *program, err error) {
	if err := a.warm.room(ctx); err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			a.warm.leave()
		}
	}()
	p := &program{owner: id, model: model, agent: a, notes: make(chan note, 64), quit: make(chan struct{})}
	if p.folder, err = newFolder(a.o.Dir, id); err != nil {
		return nil, err
	}
	if p.pass, err = a.relay.Open(a.o.Provider); err != nil {
		return nil, err
	}
	api := "generic-chat-completion-api"
	if a.o.API == relay.Anthropic {
		api = "anthropic"
	}
	settings, err := p.folder.settings(model, p.pass.URL(), api, a.o.MaxTokens)
	if err == nil {
		p.live, err = a.runner.Open(ctx, process.Job{
			Args: []string{"--cwd", p.folder.work, "--settings", settings},
			Home: p.folder.home, Work: p.folder.work, For: id.scope,
			Env: map[string]string{tokenVariable: p.pass.Token(), "FACTORY_DROID_AUTO_UPDATE_ENABLED": "false", "NO_PROXY": "127.0.0.1"},
		}, p.hear)
	}
	if err != nil {
		p.pass.Close()
		return nil, err
	}
	return p, nil
}

// hear takes a line of the program's.
func (p *program) hear(text []byte) {
	var e envelope
	if json.Unmarshal(text, &e) != nil {
		return // what is not of the protocol says nothing
	}
	switch e.Type {
	case "response":
		p.answer(e)
	case "request":
		p.asked(e)
	case "notification":
		var in struct{ Notification json.RawMessage }
		var n note
		if json.Unmarshal(e.Params, &in) != nil || json.Unmarshal(in.Notification, &n) != nil || !wanted[n.Type] || !p.turn.Load() {
			return
		}
		if n.Type == "error" {
			n.Message = bytes.Clone(n.Message)
		}
		// A client that does not read holds up the program.
		select {
		case p.notes <- n:
		case <-p.quit:
		}
	}
}

// wanted are the notifications that a turn is made of.
var wanted = map[string]bool{
	"assistant_text_delta": true, "thinking_text_delta": true, "tool_call": true, "error": true, "agent_turn_completed": true,
}

// asked answers what the program asks for: whatever is not allowed already is
// denied.
func (p *program) asked(e envelope) {
	reply := envelope{Type: "response", ID: e.ID}
	switch e.Method {
	case "droid.request_permission":
		reply.Result = params(map[string]string{"selectedOption": "cancel"})
	default:
		reply.Error = &rpcError{Code: -32601, Message: "nobody can be asked"}
	}
	p.live.Send(line(reply))
}

// patience is how long the program may take to answer a request; a cold one on a
// busy machine is slow.
const patience = 60 * time.Second

// call asks the program and decodes its answer into out.
func (p *program) call(ctx context.Context, method string, in, out any) error {
	text, answer := p.ask(method, in)
	p.live.Send(text)
	timer := time.NewTimer(patience)
	defer timer.Stop()
	select {
	case e := <-answer:
		if e.Error != nil {
			return e.Error.fault()
		}
		if out == nil {
			return nil
		}
		if err := json.Unmarshal(e.Result, out); err != nil {
			return process.Garbled(err)
		}
		return nil
	case <-p.live.Done():
		return p.died()
	case <-timer.C:
		return fault.New(fault.Timeout, "The agent's program does not answer.").WithCode("agent_timeout")
	case <-ctx.Done():
		return refusal.Ended(ctx)
	}
}

// died says why the program is not there any more.
func (p *program) died() error {
	if err := p.live.Err(); err != nil {
		return err
	}
	return fault.New(fault.Upstream, "The agent's program ended in the middle of its answer.").WithCode("agent_error")
}

// setting is what a session may do.
type setting struct {
	SessionID   string   `json:"sessionId,omitempty"`
	MachineID   string   `json:"machineId,omitempty"`
	CWD         string   `json:"cwd,omitempty"`
	Model       string   `json:"modelId"`
	Autonomy    string   `json:"autonomyLevel"`
	Interaction string   `json:"interactionMode"`
	Tools       []string `json:"restrictToolIds"`
}

func (p *program) setting() setting {
	tools := slices.Clone(p.agent.o.Tools)
	if len(tools) == 0 {
		tools = []string{"none"} // an empty list would restrict nothing
	}
	return setting{Model: modelID, Autonomy: p.agent.o.Autonomy, Interaction: "auto", Tools: tools}
}

// begin opens a new session.
func (p *program) begin(ctx context.Context) error {
	s := p.setting()
	s.MachineID, s.CWD = "agentapi", p.folder.work
	var got struct{ SessionID string }
	err := p.call(ctx, "droid.initialize_session", s, &got)
	p.native, p.seen = got.SessionID, ""
	return err
}

// load goes on with a session of an earlier process. fault.NotFound: droid does
// not know it.
func (p *program) load(ctx context.Context, native string) error {
	if err := p.call(ctx, "droid.load_session", map[string]string{"sessionId": native}, nil); err != nil {
		return err
	}
	s := p.setting() // what the session may do is not what it once might
	s.SessionID = native
	p.native = native
	return p.call(ctx, "droid.update_session_settings", s, nil)
}

func (p *program) alive() bool {
	select {
	case <-p.live.Done():
		return false
	default:
		return true
	}
}

// close ends the program and leaves its session to be resumed.
func (p *program) close() {
	p.once.Do(func() { close(p.quit) })
	p.pass.Close()
	p.live.Stop()
}

// discard ends the program and forgets its session.
func (p *program) discard() {
	p.close()
	p.folder.forget()
}

// listen has a turn's notes kept until stop.
func (p *program) listen() (stop func()) {
	p.turn.Store(true)
	return func() {
		p.turn.Store(false)
		for {
			select {
			case <-p.notes:
			default:
				return
			}
		}
	}
}

// Package demo is an agent that needs nothing: no network, no key, no model.
//
// It shows what the server does and says openly that it is a demonstration. The
// same request always gets the same answer.
package demo

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"agentapi/domain/agent"
	"agentapi/domain/chat"
	"agentapi/domain/fault"
	"agentapi/ports"
)

// Options are the demo's settings.
type Options struct {
	// Delay is what the model slow waits before each piece of its text; 50ms if absent.
	Delay time.Duration `yaml:"delay"`
}

// SetDefaults fills in what is not given.
func (o *Options) SetDefaults() { o.Delay = 50 * time.Millisecond }

// Validate refuses delays that cannot be meant.
func (o *Options) Validate() error {
	if o.Delay < 0 || o.Delay > time.Minute {
		return fault.Invalidf("delay", "out_of_range", "delay must be between 0s and 1m; it is %v.", o.Delay)
	}
	return nil
}

// Agent answers without any model.
type Agent struct{ delay time.Duration }

var _ ports.Agent = (*Agent)(nil)

// Open makes a demo agent; it starts nothing.
func Open(o Options) (*Agent, error) {
	if err := o.Validate(); err != nil {
		return nil, err
	}
	return &Agent{delay: o.Delay}, nil
}

// Capabilities says what the demo honours. Sampling is not part of it: there is
// nothing to sample, and a caller who asks for it is told.
func (*Agent) Capabilities() agent.Capabilities {
	return agent.Capabilities{Tools: true, Choices: true, Schema: true, MaxTokens: true}
}

// models are the answers that the demo can give, by name.
var models = map[string]func(*run) error{
	"echo":  (*run).echo,
	"story": (*run).story,
	"tools": (*run).tools,
	"json":  (*run).json,
	"slow":  (*run).slow,
	"flaky": (*run).flaky,
}

// Models lists the demo's models.
func (*Agent) Models(context.Context) ([]agent.Model, error) {
	var all []agent.Model
	for id := range models {
		all = append(all, agent.Model{ID: id, OwnedBy: "agentapi-demo"})
	}
	slices.SortFunc(all, func(a, b agent.Model) int { return strings.Compare(a.ID, b.ID) })
	return all, nil
}

// Probe always succeeds.
func (*Agent) Probe(context.Context) error { return nil }

// Run answers the task. fault.Unsupported where there is no such model.
func (a *Agent) Run(ctx context.Context, task agent.Task) ports.Events {
	return func(yield func(chat.Event, error) bool) {
		r := &run{ctx: ctx, delay: a.delay, task: task, yield: yield}
		if err := r.answer(); err != nil && !r.left {
			yield(chat.Event{}, err)
		}
	}
}

func (r *run) answer() error {
	if err := r.ended(); err != nil {
		return err
	}
	speak, ok := models[r.task.Model]
	if !ok {
		return fault.New(fault.Unsupported, "The demo has no model %q.", r.task.Model).WithCode("model_not_found").WithParam("model")
	}
	for r.choice = range max(1, r.task.Request.N) {
		r.said = 0
		if err := speak(r); err != nil {
			return err
		}
	}
	prompt := chat.EstimatePrompt(r.task.Messages)
	if err := r.send(chat.Event{Kind: chat.Used, Usage: &chat.Usage{Prompt: prompt, Completion: r.tokens, Estimated: true}}); err != nil {
		return err
	}
	return r.send(chat.Event{Kind: chat.Finished})
}

// ended is the fault of a context that has ended.
func (r *run) ended() error {
	switch err := r.ctx.Err(); err {
	case nil:
		return nil
	case context.DeadlineExceeded:
		return fault.Wrap(fault.Timeout, err, "The time for the answer was up.")
	default:
		return fault.Wrap(fault.Canceled, fmt.Errorf("%w: %w", err, context.Cause(r.ctx)), "The request was canceled.")
	}
}

// Package exec is an agent that is any program: it reads a request as a line of
// JSON on its standard input and writes its answer as lines of JSON. This is how
// agents are plugged in without touching the server.
package exec

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"agentapi/adapters/agent/process"
	"agentapi/domain/agent"
	"agentapi/domain/chat"
	"agentapi/ports"
)

// Options configures an Agent.
type Options struct {
	process.Options `yaml:",inline"`
	// Can is what the program honours, beyond text; it is refused or reported
	// where it does not.
	Can Can `yaml:"can"`
}

// Can says what a program honours.
type Can struct {
	Tools     bool `yaml:"tools" doc:"it can be offered the client's tools"`
	Choices   bool `yaml:"choices" doc:"it serves n > 1"`
	Media     bool `yaml:"media" doc:"it takes images, audio and files"`
	Schema    bool `yaml:"schema" doc:"it honours response_format"`
	MaxTokens bool `yaml:"max_tokens" doc:"it honours max_tokens and stop"`
}

// Agent is a ports.Agent that runs the program once for every task.
type Agent struct {
	runner *process.Runner
	can    Can
}

var _ ports.Agent = (*Agent)(nil)

// Open makes an Agent; it starts nothing.
func Open(o Options) (*Agent, error) {
	o.Command = anchored(o.Command)
	r, err := process.New(o.Options)
	if err != nil {
		return nil, err
	}
	return &Agent{runner: r, can: o.Can}, nil
}

// Tell has it told when a program starts and has ended. It comes before the first.
func (a *Agent) Tell(p ports.Programs) { a.runner.Tell(p) }

// Programs is how many programs of it run; none waits.
func (a *Agent) Programs() (running, idle int) { return a.runner.Running(), 0 }

// anchored makes what the command names of files here, such as a script, absolute:
// the program runs in another folder.
func anchored(command []string) []string {
	out := slices.Clone(command)
	for i, arg := range out {
		if arg == "" || filepath.IsAbs(arg) || (i == 0 && !strings.ContainsRune(arg, filepath.Separator)) {
			continue
		}
		if info, err := os.Stat(arg); err == nil && info.Mode().IsRegular() {
			if abs, err := filepath.Abs(arg); err == nil {
				out[i] = abs
			}
		}
	}
	return out
}

// Capabilities says what the configuration says of the program.
func (a *Agent) Capabilities() agent.Capabilities {
	return agent.Capabilities{
		Tools: a.can.Tools, Choices: a.can.Choices, Media: a.can.Media, Schema: a.can.Schema, MaxTokens: a.can.MaxTokens, Program: true,
	}
}

// Models says nothing: the program's models are configured.
func (a *Agent) Models(context.Context) ([]agent.Model, error) { return nil, nil }

// Probe tells whether the program is there, without running it.
func (a *Agent) Probe(context.Context) error { return a.runner.Probe() }

// Run runs the program for the task. What a request says reaches it on its
// standard input only.
func (a *Agent) Run(ctx context.Context, task agent.Task) ports.Events {
	return func(yield func(chat.Event, error) bool) {
		line, err := encode(task)
		if err != nil {
			yield(chat.Event{}, err)
			return
		}
		s := speech{yield: yield, wanted: max(1, task.Request.N), calls: map[int]int{}}
		for line, err := range a.runner.Lines(ctx, process.Job{Input: line, Interrupt: cancel, For: task.Caller, Env: traced(ctx)}) {
			if err == nil {
				err = s.hear(line)
			}
			if err != nil {
				if !s.left {
					yield(chat.Event{}, err)
				}
				return
			}
			if s.left {
				return
			}
			if s.done {
				break // what it would say after its end is not wanted
			}
		}
		if !s.done {
			yield(chat.Event{}, process.Garbled(errors.New("the program ended without a finished line")))
			return
		}
		yield(chat.Event{Kind: chat.Finished}, nil)
	}
}

// speech turns a program's lines into events.
type speech struct {
	yield  func(chat.Event, error) bool
	wanted int         // choices that are still to end
	calls  map[int]int // how many tool calls a choice has
	done   bool        // all choices have ended
	left   bool        // the consumer has gone
}

func (s *speech) say(e chat.Event) {
	if !s.left {
		s.left = !s.yield(e, nil)
	}
}

// hear takes one line. Types that it does not know are passed over, so that
// programs may say more than this server understands.
func (s *speech) hear(line []byte) error {
	if len(line) == 0 {
		return nil
	}
	var o output
	if err := json.Unmarshal(line, &o); err != nil {
		return process.Garbled(err)
	}
	text := strings.ToValidUTF8(o.Text, "\ufffd")
	switch o.Type {
	case "started":
		s.say(chat.Event{Kind: chat.Started, Text: o.Session})
	case "text":
		s.say(chat.Event{Kind: chat.Text, Choice: o.Choice, Text: text})
	case "thought":
		s.say(chat.Event{Kind: chat.Thought, Choice: o.Choice, Text: text})
	case "refusal":
		s.say(chat.Event{Kind: chat.Refused, Choice: o.Choice, Text: text})
	case "acted":
		s.say(chat.Event{Kind: chat.Acted, Choice: o.Choice, Text: text})
	case "tool_call":
		if o.ID == "" || o.Name == "" {
			return process.Garbled(errors.New("a tool call without id or name"))
		}
		s.say(chat.Event{Kind: chat.Called, Choice: o.Choice, Call: &chat.CallDelta{
			Index: s.calls[o.Choice], ID: o.ID, Name: o.Name, Arguments: o.Arguments,
		}})
		s.calls[o.Choice]++
	case "usage":
		s.say(chat.Event{Kind: chat.Used, Usage: &chat.Usage{
			Prompt: max(0, o.Prompt), Completion: max(0, o.Completion), Cached: max(0, o.Cached), Reasoning: max(0, o.Reasoning),
		}})
	case "finished":
		reason, ok := reasons[o.Reason]
		if !ok {
			return process.Garbled(fmt.Errorf("the finish reason %q", o.Reason))
		}
		if o.Reason == "" && s.calls[o.Choice] > 0 {
			reason = chat.ToolCalls
		}
		s.say(chat.Event{Kind: chat.Stopped, Choice: o.Choice, Reason: reason})
		s.wanted--
		s.done = s.wanted == 0
	case "error":
		return o.failure()
	}
	return nil
}

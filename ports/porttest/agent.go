package porttest

import (
	"cmp"
	"context"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"agentapi/domain/agent"
	"agentapi/domain/chat"
	"agentapi/domain/fault"
	"agentapi/ports"
)

const (
	grace   = 2 * time.Second  // what ports.Agent allows between the end of a context and the end of a sequence
	slack   = time.Second      // what a busy machine may add to it
	runTime = 30 * time.Second // within which every run of the suite ends
)

// AgentBench builds agents that behave as the suite needs. Every builder takes
// what it started down again with t.Cleanup. Answering is needed; where another
// builder is nil the tests that need it are skipped, so say beside the call why
// the adapter cannot be brought to that.
type AgentBench struct {
	// Answering builds an agent that answers every task for Model with text.
	Answering func(t *testing.T) ports.Agent
	// FailingAtStart builds one that fails before it has any content.
	FailingAtStart func(t *testing.T) ports.Agent
	// DyingMidway builds one that fails after some content.
	DyingMidway func(t *testing.T) ports.Agent
	// Stalling builds one that never has any content, and ends only with its context.
	Stalling func(t *testing.T) ports.Agent
	// StallingMidway builds one that has some content and then falls silent.
	StallingMidway func(t *testing.T) ports.Agent
	// Flooding builds one whose program or upstream says more than can be wanted.
	Flooding func(t *testing.T) ports.Agent

	Model  string // what all of them serve
	Prompt string // what the user says; "hi" if empty
	Echoes bool   // what Answering answers holds the prompt, so that runs which get mixed up show
	Native bool   // events carry Native
	Warm   bool   // after a complete answer a process may wait for the session's next turn

	// Patience is how long a run is given before its context ends; more than an
	// agent takes to begin. 300 ms if 0.
	Patience time.Duration
}

// Agent tests the contract of ports.Agent and of the chat events. Its caller
// must not be a parallel test, because goroutines and child processes that are
// left over are counted.
func Agent(t *testing.T, b AgentBench) {
	if b.Prompt == "" {
		b.Prompt = "hi"
	}
	for _, c := range []struct {
		name  string
		build func(t *testing.T) ports.Agent
		test  func(t *testing.T, b AgentBench, a ports.Agent)
	}{
		{"an answer is events in order that end with Finished", b.Answering, answers},
		{"an answer that is not streamed says the same", b.Answering, answersWhole},
		{"n choices are given where the capabilities say so", b.Answering, givesChoices},
		{"a run that nobody ranges over starts nothing", b.Answering, isLazy},
		{"a second run is independent of the first", b.Answering, runsTwice},
		{"leaving at any event releases everything", b.Answering, canBeLeft},
		{"sixteen runs at once are independent", b.Answering, runsConcurrently},
		{"a context that has ended already is Canceled", b.Answering, mindsEndedContext},
		{"an agent that answers passes its probe and says constant things", b.Answering, describesItself},
		{"a failure at start is the only element", b.FailingAtStart, failsAtStart},
		{"a failure midway is the last element", b.DyingMidway, diesMidway},
		{"the end of the context ends a silent start", b.Stalling, endsWithContext(false)},
		{"the end of the context ends a silence midway", b.StallingMidway, endsWithContext(true)},
		{"leaving a silent agent releases everything", b.StallingMidway, canBeLeftSilent},
		{"a flood ends, and can be left", b.Flooding, survivesFlood},
	} {
		t.Run(c.name, func(t *testing.T) {
			if c.build == nil {
				t.Skip("the bench has no agent that behaves so")
			}
			expectNothingLeft(t)
			c.test(t, b, c.build(t))
		})
	}
}

// task is a fresh task, so that nothing is shared between runs.
func (b AgentBench) task(prompt string, change ...func(*chat.Request)) agent.Task {
	r := &chat.Request{
		Model: b.Model, N: 1, Stream: true, IncludeUsage: true,
		Messages: []chat.Message{chat.NewMessage(chat.User, prompt)},
	}
	for _, c := range change {
		c(r)
	}
	r.Raw = fmt.Appendf(nil, `{"model":%q,"stream":%t,"n":%d,"messages":[{"role":"user","content":%q}]`, r.Model, r.Stream, r.N, prompt)
	if r.Stream {
		r.Raw = append(r.Raw, `,"stream_options":{"include_usage":true}`...)
	}
	r.Raw = append(r.Raw, '}')
	return agent.Task{Model: b.Model, Request: r, Messages: r.Messages, Session: agent.Session{ID: "sess_test", New: 1}}
}

func bounded(t *testing.T) context.Context {
	ctx, cancel := context.WithTimeout(t.Context(), runTime)
	t.Cleanup(cancel)
	return ctx
}

// finish runs the task to its end, which must be a good one.
func finish(t *testing.T, b AgentBench, a ports.Agent, task agent.Task) record {
	t.Helper()
	r := runToEnd(bounded(t), t, a, task)
	if r.err != nil {
		t.Fatalf("the answer ended with %v", r.err)
	}
	r.checkOrder(t)
	if b.Native {
		r.checkNative(t, task.Request.Stream)
	}
	return r
}

func answers(t *testing.T, b AgentBench, a ports.Agent) {
	r := finish(t, b, a, b.task(b.Prompt))
	m := r.completion.Choices[0].Message
	if m.Text() == "" {
		t.Error("the answer has no text")
	}
	if b.Echoes && !strings.Contains(m.Text(), b.Prompt) {
		t.Errorf("the answer %q does not hold the prompt", m.Text())
	}
}

func answersWhole(t *testing.T, b AgentBench, a ports.Agent) {
	streamed := finish(t, b, a, b.task(b.Prompt))
	whole := finish(t, b, a, b.task(b.Prompt, func(r *chat.Request) { r.Stream, r.IncludeUsage = false, false }))
	if len(streamed.completion.Choices) != len(whole.completion.Choices) {
		t.Errorf("%d choices streamed, %d whole", len(streamed.completion.Choices), len(whole.completion.Choices))
	}
}

func givesChoices(t *testing.T, b AgentBench, a ports.Agent) {
	if !a.Capabilities().Choices {
		t.Skip("the agent serves one choice only")
	}
	r := finish(t, b, a, b.task(b.Prompt, func(r *chat.Request) { r.N = 3 }))
	if n := len(r.completion.Choices); n != 3 {
		t.Errorf("got %d choices", n)
	}
}

func isLazy(t *testing.T, b AgentBench, a ports.Agent) {
	before := takeStock()
	a.Run(t.Context(), b.task(b.Prompt))
	if err := before.nothingNew(); err != nil {
		t.Error(err)
	}
}

func runsTwice(t *testing.T, b AgentBench, a ports.Agent) {
	first, second := b.Prompt+" the first", b.Prompt+" the second"
	one, two := a.Run(bounded(t), b.task(first)), a.Run(bounded(t), b.task(second))
	r2, r1 := collect(t, two), collect(t, one)
	for _, r := range []record{r1, r2} {
		if r.err != nil {
			t.Fatalf("the answer ended with %v", r.err)
		}
		r.checkOrder(t)
	}
	if b.Echoes && (!strings.Contains(r1.text(), first) || !strings.Contains(r2.text(), second)) {
		t.Errorf("the runs are mixed up: %q, %q", r1.text(), r2.text())
	}
}

func canBeLeft(t *testing.T, b AgentBench, a ports.Agent) {
	const most = 12
	all := len(finish(t, b, a, b.task(b.Prompt)).events)
	for at := 1; at <= min(all, most); at++ {
		before, seen := takeStock(), 0
		began := time.Now()
		for _, err := range a.Run(bounded(t), b.task(b.Prompt)) {
			if err != nil {
				t.Fatalf("event %d: %v", seen, err)
			}
			if seen++; seen == at {
				began = time.Now()
				break
			}
		}
		expectQuick(t, began)
		if b.Warm && at == all {
			continue
		}
		if err := before.noNewProcess(); err != nil {
			t.Fatalf("left at event %d: %v", at, err)
		}
	}
	finish(t, b, a, b.task(b.Prompt))
}

func canBeLeftSilent(t *testing.T, b AgentBench, a ports.Agent) {
	before := takeStock()
	var began time.Time
	for e, err := range a.Run(bounded(t), b.task(b.Prompt)) {
		if err != nil {
			t.Fatal(err)
		}
		if e.Kind.Content() {
			began = time.Now()
			break
		}
	}
	expectQuick(t, began)
	if err := before.noNewProcess(); err != nil {
		t.Error(err)
	}
}

func runsConcurrently(t *testing.T, b AgentBench, a ports.Agent) {
	const runs = 16
	ctx := bounded(t)
	var all sync.WaitGroup
	for i := range runs {
		all.Go(func() {
			prompt := fmt.Sprintf("%s number %d.", b.Prompt, i)
			r := collect(t, a.Run(ctx, b.task(prompt)))
			if r.err != nil {
				t.Errorf("run %d: %v", i, r.err)
				return
			}
			r.checkOrder(t)
			if b.Echoes && !strings.Contains(r.text(), prompt) {
				t.Errorf("run %d answered %q", i, r.text())
			}
		})
	}
	all.Wait()
}

func mindsEndedContext(t *testing.T, b AgentBench, a ports.Agent) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	r := runToEnd(ctx, t, a, b.task(b.Prompt))
	if !fault.Is(r.err, fault.Canceled) || r.content() {
		t.Errorf("got %d events and %v", len(r.events), r.err)
	}
}

func describesItself(t *testing.T, b AgentBench, a ports.Agent) {
	if err := a.Probe(bounded(t)); err != nil {
		t.Errorf("the probe says %v", err)
	}
	if a.Capabilities() != a.Capabilities() { //nolint:staticcheck // two calls are compared
		t.Error("the capabilities change")
	}
	models, err := a.Models(bounded(t))
	if err != nil {
		t.Fatal(err)
	}
	served := len(models) == 0
	for _, m := range models {
		served = served || m.Serves(b.Model)
	}
	if !served {
		t.Errorf("the models %v do not serve %q", models, b.Model)
	}
}

func failsAtStart(t *testing.T, b AgentBench, a ports.Agent) {
	before := takeStock()
	r := runToEnd(bounded(t), t, a, b.task(b.Prompt))
	if r.err == nil || r.content() {
		t.Fatalf("got %d events and %v", len(r.events), r.err)
	}
	if fault.Is(r.err, fault.Canceled) || fault.Is(r.err, fault.Internal) {
		t.Errorf("the failure is %s: %v", fault.KindOf(r.err), r.err)
	}
	if err := before.noNewProcess(); err != nil {
		t.Error(err)
	}
}

func diesMidway(t *testing.T, b AgentBench, a ports.Agent) {
	before := takeStock()
	r := runToEnd(bounded(t), t, a, b.task(b.Prompt))
	if r.err == nil || !r.content() {
		t.Fatalf("got %d events and %v", len(r.events), r.err)
	}
	if k := fault.KindOf(r.err); k != fault.Upstream && k != fault.Unavailable && k != fault.Timeout {
		t.Errorf("the failure is %s: %v", k, r.err)
	}
	if err := before.noNewProcess(); err != nil {
		t.Error(err)
	}
}

// endsWithContext cancels a run once and lets its deadline pass once, at its
// start or after its first content.
func endsWithContext(midway bool) func(*testing.T, AgentBench, ports.Agent) {
	return func(t *testing.T, b AgentBench, a ports.Agent) {
		patience := cmp.Or(b.Patience, 300*time.Millisecond)
		for name, start := range map[string]func() (context.Context, context.CancelFunc){
			"canceled": func() (context.Context, context.CancelFunc) {
				ctx, cancel := context.WithCancel(t.Context())
				if !midway {
					time.AfterFunc(patience, cancel)
				}
				return ctx, cancel
			},
			"deadline": func() (context.Context, context.CancelFunc) {
				return context.WithTimeout(t.Context(), patience*3)
			},
		} {
			before := takeStock()
			ctx, cancel := start()
			ended := make(chan time.Time, 1)
			context.AfterFunc(ctx, func() { ended <- time.Now() })
			r := record{}
			for e, err := range a.Run(ctx, b.task(b.Prompt)) {
				r.add(t, e, err)
				if midway && name == "canceled" && r.content() {
					cancel()
				}
			}
			cancel()
			if ctx.Err() == nil || r.err == nil {
				t.Fatalf("%s: the sequence ended with %v", name, r.err)
			}
			expectQuick(t, <-ended)
			k := fault.KindOf(r.err)
			if k != fault.Canceled && (k != fault.Timeout || name == "canceled") {
				t.Errorf("%s: the sequence ended with %s: %v", name, k, r.err)
			}
			if err := before.noNewProcess(); err != nil {
				t.Errorf("%s: %v", name, err)
			}
			if midway != r.content() {
				t.Errorf("%s: content was seen: %v", name, r.content())
			}
		}
	}
}

func survivesFlood(t *testing.T, b AgentBench, a ports.Agent) {
	before := takeStock()
	r := runToEnd(bounded(t), t, a, b.task(b.Prompt))
	if r.err == nil {
		r.checkOrder(t)
	}
	if fault.Is(r.err, fault.Canceled) {
		t.Errorf("the flood did not end within %v", runTime)
	}
	for range a.Run(bounded(t), b.task(b.Prompt)) {
		break
	}
	if err := before.noNewProcess(); err != nil {
		t.Error(err)
	}
}

func expectQuick(t *testing.T, since time.Time) {
	t.Helper()
	if d := time.Since(since); d > grace+slack {
		t.Errorf("the sequence ended %v late", d)
	}
}

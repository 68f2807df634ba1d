package completion_test

import (
	"context"
	"crypto/rand"
	"errors"
	"runtime"
	"slices"
	"sync/atomic"
	"testing"
	"time"

	cachemem "agentapi/adapters/cache/memory"
	"agentapi/adapters/storage/memory"
	"agentapi/application/catalog"
	"agentapi/application/completion"
	"agentapi/domain/agent"
	"agentapi/domain/chat"
	"agentapi/domain/fault"
	"agentapi/domain/id"
	"agentapi/domain/page"
	"agentapi/domain/session"
	"agentapi/domain/tenancy"
	"agentapi/ports"
)

// scripted is an agent that does what a test says.
type scripted struct {
	can  agent.Capabilities
	run  func(ctx context.Context, task agent.Task, yield func(chat.Event, error) bool)
	runs atomic.Int32
}

func (s *scripted) Run(ctx context.Context, task agent.Task) ports.Events {
	return func(yield func(chat.Event, error) bool) {
		s.runs.Add(1)
		s.run(ctx, task, yield)
	}
}
func (s *scripted) Capabilities() agent.Capabilities              { return s.can }
func (s *scripted) Models(context.Context) ([]agent.Model, error) { return nil, nil }
func (s *scripted) Probe(context.Context) error                   { return nil }

// says gives an agent whose answer is these events.
func says(events ...chat.Event) *scripted {
	return &scripted{run: func(_ context.Context, _ agent.Task, yield func(chat.Event, error) bool) {
		for _, e := range events {
			if !yield(e, nil) {
				return
			}
		}
	}}
}

// fails gives an agent that fails with err after these events.
func fails(err error, events ...chat.Event) *scripted {
	return &scripted{run: func(_ context.Context, _ agent.Task, yield func(chat.Event, error) bool) {
		for _, e := range events {
			if !yield(e, nil) {
				return
			}
		}
		yield(chat.Event{}, err)
	}}
}

func text(s string) chat.Event { return chat.Event{Kind: chat.Text, Text: s} }

var (
	stopped  = chat.Event{Kind: chat.Stopped, Reason: chat.Stop}
	finished = chat.Event{Kind: chat.Finished}
	used     = chat.Event{Kind: chat.Used, Usage: &chat.Usage{Prompt: 7, Completion: 2}}
	away     = fault.New(fault.Unavailable, "It is away.").WithCode("agent_unavailable")
)

// house is a service around scripted agents.
type house struct {
	cache ports.Cache
	*completion.Service
	storage *flaky
	caller  tenancy.Principal
}

// flaky is a storage whose transactions fail while broken is set: a fault that
// the real memory storage cannot be made to show.
type flaky struct {
	ports.Storage
	broken atomic.Bool
}

func (f *flaky) Atomically(ctx context.Context, fn func(context.Context, ports.Repositories) error) error {
	if f.broken.Load() {
		return fault.New(fault.Unavailable, "The storage is away.")
	}
	return f.Storage.Atomically(ctx, fn)
}

func build(t *testing.T, agents ...*scripted) *house {
	t.Helper()
	return buildWith(t, func(*catalog.Params, *completion.Params) {}, agents...)
}

// buildWith is build with parts that change says.
func buildWith(t *testing.T, change func(*catalog.Params, *completion.Params), agents ...*scripted) *house {
	t.Helper()
	var o memory.Options
	o.SetDefaults()
	store, err := memory.Open(o)
	if err != nil {
		t.Fatal(err)
	}
	var co cachemem.Options
	co.SetDefaults()
	cache, err := cachemem.Open(co)
	if err != nil {
		t.Fatal(err)
	}
	p := catalog.Params{Cache: cache, Now: time.Now}
	for i, a := range agents {
		name := agent.Name([]string{"first", "second", "third", "fourth"}[i])
		p.Entries = append(p.Entries, catalog.Entry{Name: name, Agent: a, Models: []agent.Model{{ID: "m"}}})
		p.Routing.Default = append(p.Routing.Default, name)
	}
	h := &house{cache: cache, storage: &flaky{Storage: store}, caller: caller(t, "ann")}
	cp := completion.Params{
		Storage: h.storage, Observer: ports.NopObserver{}, Now: time.Now,
		Random: func(b []byte) { rand.Read(b) }, Instance: "here",
	}
	change(&p, &cp)
	c, err := catalog.New(p)
	if err != nil {
		t.Fatal(err)
	}
	cp.Catalog = catalog.Begin(c)
	h.Service = completion.New(cp)
	if err := h.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := h.Stop(context.Background()); err != nil {
			t.Error(err)
		}
	})
	return h
}

func caller(t *testing.T, name string) tenancy.Principal {
	t.Helper()
	var (
		org  tenancy.OrgID
		user tenancy.UserID
	)
	p, err := tenancy.NewPrincipal(tenancy.Identity{Subject: name}, named(org, "org"), named(user, name))
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func named[K id.Kind](_ id.ID[K], name string) id.ID[K] { return id.Named[K](name) }

func (h *house) ask(msgs ...string) completion.Command {
	r := &chat.Request{Model: "m", N: 1}
	for i, m := range msgs {
		role := chat.User
		if i%2 == 1 {
			role = chat.Assistant
		}
		r.Messages = append(r.Messages, chat.NewMessage(role, m))
		r.Raw = append(r.Raw, m...)
	}
	return completion.Command{Caller: h.caller, Request: r, RequestID: "req_1", Route: "POST /v1/chat/completions"}
}

func (h *house) stream(msgs ...string) completion.Command {
	c := h.ask(msgs...)
	c.Request.Stream = true
	return c
}

// turns tells what is stored of a session, role and text.
func (h *house) turns(t *testing.T, sid session.ID) (out []string) {
	t.Helper()
	list, err := h.storage.Sessions().History(t.Context(), h.caller.Scope(), sid)
	if err != nil {
		t.Fatal(err)
	}
	for _, turn := range list {
		out = append(out, string(turn.Message.Role)+": "+turn.Message.Text())
	}
	return out
}

func (h *house) sessions(t *testing.T) int {
	t.Helper()
	l, err := h.storage.Sessions().List(t.Context(), h.caller.Scope(), session.Filter{}, page.Query{Limit: 100})
	if err != nil {
		t.Fatal(err)
	}
	return len(l.Items)
}

func (h *house) booked(t *testing.T) (requests, completion int64) {
	t.Helper()
	sum, err := h.storage.Usage().Totals(t.Context(), h.caller.Scope())
	if err != nil {
		t.Fatal(err)
	}
	return sum.Requests, sum.CompletionTokens
}

// drain reads a reply to its end.
func drain(r *completion.Reply) (events []chat.Event, err error) {
	defer r.Close()
	for {
		e, err, ok := r.Next()
		if !ok || err != nil {
			return events, err
		}
		events = append(events, e)
	}
}

func kinds(events []chat.Event) (out []chat.EventKind) {
	for _, e := range events {
		out = append(out, e.Kind)
	}
	return out
}

func TestAWholeAnswerIsStoredWhenItReturns(t *testing.T) {
	h := build(t, says(text("hel"), text("lo"), used, stopped, finished))
	w, err := h.Complete(t.Context(), h.ask("hi"))
	if err != nil {
		t.Fatal(err)
	}
	if got := w.Completion.Choices[0].Message.Text(); got != "hello" || w.Completion.Usage.Total() != 9 {
		t.Errorf("got %q, %+v", got, w.Completion.Usage)
	}
	if got := h.turns(t, w.Session); !slices.Equal(got, []string{"user: hi", "assistant: hello"}) {
		t.Errorf("stored: %q", got)
	}
	if n, tokens := h.booked(t); n != 1 || tokens != 2 {
		t.Errorf("booked: %d requests, %d tokens", n, tokens)
	}
	if w.How != session.Fresh || w.Agent != "first" || w.Attempts != 1 || w.Route != "default" {
		t.Errorf("head: %+v", w.Head)
	}
}

func TestAStreamSaysThatItIsDoneOnlyOnceTheTurnIsStored(t *testing.T) {
	h := build(t, says(chat.Event{Kind: chat.Started}, text("a"), text("b"), stopped, used, finished))
	r, err := h.Begin(t.Context(), h.stream("hi"))
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	for {
		e, err, ok := r.Next()
		if err != nil || !ok {
			t.Fatalf("ended early: %v", err)
		}
		want := 0
		if e.Kind == chat.Stopped || e.Kind == chat.Finished {
			want = 1
		}
		if got := h.sessions(t); got != want {
			t.Fatalf("at event %d there are %d sessions", e.Kind, got)
		}
		if e.Kind == chat.Finished {
			break
		}
	}
	if _, _, ok := r.Next(); ok {
		t.Error("there is something after the end")
	}
}

func TestAFailingAgentIsReplacedUnseenWhileNothingWasDelivered(t *testing.T) {
	good := func() *scripted { return says(text("ok"), stopped, finished) }
	for name, c := range map[string]struct {
		first    *scripted
		attempts int
		kind     fault.Kind
	}{
		"it is away":              {fails(away), 2, 0},
		"it fails":                {fails(fault.New(fault.Upstream, "x")), 2, 0},
		"it is too slow":          {fails(fault.New(fault.Timeout, "x")), 2, 0},
		"it is busy":              {fails(fault.New(fault.RateLimited, "x")), 2, 0},
		"it ends without a word":  {says(), 2, 0},
		"it says only that it is": {says(chat.Event{Kind: chat.Started}), 2, 0},
		"it breaks the order":     {says(finished), 2, 0},
		"the request is wrong":    {fails(fault.New(fault.Invalid, "x")), 1, fault.Invalid},
		"the prompt is too long":  {fails(fault.New(fault.TooLong, "x")), 1, fault.TooLong},
		"it has a defect":         {fails(errors.New("x")), 1, fault.Internal},
	} {
		t.Run(name, func(t *testing.T) {
			second := good()
			h := build(t, c.first, second)
			r, err := h.Begin(t.Context(), h.stream("hi"))
			w, werr := h.Complete(t.Context(), h.ask("hi"))
			if c.kind != 0 || c.attempts == 1 {
				if fault.KindOf(err) != c.kind || fault.KindOf(werr) != c.kind || second.runs.Load() != 0 {
					t.Errorf("got %v and %v; the second ran %d times", err, werr, second.runs.Load())
				}
				return
			}
			if err != nil || werr != nil {
				t.Fatal(err, werr)
			}
			events, err := drain(r)
			if err != nil || r.Attempts != c.attempts || r.Agent != "second" || w.Attempts != c.attempts {
				t.Errorf("got %v, %+v", err, r.Head)
			}
			if want := []chat.EventKind{chat.Text, chat.Stopped, chat.Used, chat.Finished}; !slices.Equal(kinds(events), want) {
				t.Errorf("got %v", kinds(events))
			}
		})
	}
}

func TestAfterTheFirstEventAStreamDoesNotFailOver(t *testing.T) {
	second := says(text("other"), stopped, finished)
	h := build(t, fails(away, text("half")), second)
	r, err := h.Begin(t.Context(), h.stream("hi"))
	if err != nil {
		t.Fatal(err)
	}
	events, err := drain(r)
	if !fault.Is(err, fault.Unavailable) || len(events) != 1 || second.runs.Load() != 0 {
		t.Errorf("got %v after %d events", err, len(events))
	}
	if h.sessions(t) != 0 {
		t.Error("half an answer was stored as a turn")
	}
	if n, _ := h.booked(t); n != 1 {
		t.Errorf("what was observed is booked %d times", n)
	}
}

func TestAWholeAnswerFailsOverInItsMiddle(t *testing.T) {
	h := build(t, fails(away, text("half")), says(text("whole"), stopped, finished))
	w, err := h.Complete(t.Context(), h.ask("hi"))
	if err != nil || w.Completion.Choices[0].Message.Text() != "whole" || w.Attempts != 2 {
		t.Errorf("got %+v, %v", w, err)
	}
}

func TestWhenAllFailTheErrorNamesEach(t *testing.T) {
	h := build(t, fails(away), fails(fault.New(fault.Upstream, "It broke.")))
	_, err := h.Complete(t.Context(), h.ask("hi"))
	f := fault.As(err)
	if f == nil || f.Kind != fault.Upstream || f.Message != "No agent could answer. first/m: It is away. second/m: It broke." {
		t.Errorf("got %v", err)
	}
	h = build(t, fails(away), fails(away.WithRetryAfter(time.Second)))
	_, err = h.Complete(t.Context(), h.ask("hi"))
	if f := fault.As(err); f.Kind != fault.Unavailable || f.Code != "agent_unavailable" || f.RetryAfter != time.Second {
		t.Errorf("got %+v", f)
	}
}

func TestAnAnswerThatCannotBeStoredIsNotSaidToBeDone(t *testing.T) {
	h := build(t, says(text("a"), stopped, used, finished))
	h.storage.broken.Store(true)
	if _, err := h.Complete(t.Context(), h.ask("hi")); fault.As(err) == nil || fault.As(err).Code != "storage_unavailable" {
		t.Errorf("whole: got %v", err)
	}
	r, err := h.Begin(t.Context(), h.stream("hi"))
	if err != nil {
		t.Fatal(err)
	}
	events, err := drain(r)
	if f := fault.As(err); f == nil || f.Code != "storage_unavailable" {
		t.Errorf("stream: got %v", err)
	}
	if slices.ContainsFunc(events, func(e chat.Event) bool { return e.Kind == chat.Stopped || e.Kind == chat.Finished }) {
		t.Errorf("the end was delivered: %v", kinds(events))
	}
	waiting := func() bool { n, lag := h.Unbooked(); return n == 2 && lag > 0 }
	for until := time.Now().Add(5 * time.Second); !waiting(); runtime.Gosched() {
		if time.Now().After(until) {
			n, lag := h.Unbooked()
			t.Fatalf("%d wait, the oldest for %v", n, lag)
		}
	}
	h.storage.broken.Store(false)
	if err := h.Stop(t.Context()); err != nil {
		t.Fatal(err)
	}
	if n, _ := h.booked(t); n != 2 {
		t.Errorf("once the storage is back, %d answers are booked", n)
	}
	if n, lag := h.Unbooked(); n != 0 || lag != 0 {
		t.Errorf("then %d wait, the oldest for %v", n, lag)
	}
}

func TestLeavingEndsTheAgentAndBooksWhatWasSeen(t *testing.T) {
	left := make(chan struct{})
	a := &scripted{run: func(_ context.Context, _ agent.Task, yield func(chat.Event, error) bool) {
		defer close(left)
		for yield(text("word "), nil) {
		}
	}}
	h := build(t, a)
	r, err := h.Begin(t.Context(), h.stream("hi"))
	if err != nil {
		t.Fatal(err)
	}
	for range 3 {
		if _, err, ok := r.Next(); err != nil || !ok {
			t.Fatal(err)
		}
	}
	r.Close()
	<-left
	r.Close()
	if n, tokens := h.booked(t); n != 1 || tokens == 0 {
		t.Errorf("booked: %d requests, %d tokens", n, tokens)
	}
	if h.sessions(t) != 0 {
		t.Error("an answer that was not read to its end was stored")
	}
}

func TestUsageThatNobodyReportedIsEstimated(t *testing.T) {
	h := build(t, says(text("four words of text"), stopped, finished))
	w, err := h.Complete(t.Context(), h.ask("hello there"))
	if err != nil {
		t.Fatal(err)
	}
	if u := w.Completion.Usage; !u.Estimated || u.Prompt == 0 || u.Completion == 0 {
		t.Errorf("got %+v", u)
	}
}

package operations

import (
	"context"
	"encoding/json"
	"slices"
	"time"

	"agentapi/application/catalog"
	"agentapi/application/trail"
	"agentapi/domain/agent"
	"agentapi/domain/audit"
	"agentapi/domain/chat"
	"agentapi/domain/fault"
	"agentapi/domain/session"
	"agentapi/domain/tenancy"
	"agentapi/domain/usage"
	"agentapi/ports"
)

// TrialLimit is how long an agent has to answer a trial.
const TrialLimit = 20 * time.Second

// Trial is how an agent answered when it was tried.
type Trial struct {
	Agent  agent.Name
	Model  string        // that was asked; empty: the agent was asked for its models
	Models int           // that it named then
	First  time.Duration // until the first words came; 0: none did
	Took   time.Duration
	Tokens chat.Usage
	Err    error // why it failed, a fault; nil: it is well
}

// Try asks an agent for a very short answer of one of its models, the first if none
// is named; or for its models, where none is known. It works for one that is out of
// service, too, and ends within TrialLimit and the agent's time to stop. What the
// agent consumed is booked to the caller. fault.NotFound: this instance has no such
// agent.
func (s *Service) Try(ctx context.Context, who tenancy.Principal, name agent.Name, model, request string) (Trial, error) {
	if err := who.May(tenancy.WritePlatform); err != nil {
		return Trial{}, err
	}
	entries := s.Catalog.Now().Entries()
	i := slices.IndexFunc(entries, func(e catalog.Entry) bool { return e.Name == name })
	if i < 0 {
		return Trial{}, agent.NoAgent()
	}
	if model == "" {
		for _, m := range s.Catalog.Now().Serving(name) {
			if !m.Wildcard() {
				model = m.ID
				break
			}
		}
	}
	t := Trial{Agent: name, Model: model}
	began := s.Now()
	limited, cancel := context.WithTimeoutCause(ctx, TrialLimit,
		fault.New(fault.Timeout, "The agent %s did not answer within %d seconds.", name, int(TrialLimit.Seconds())).WithCode("upstream_timeout"))
	defer cancel()
	if model == "" {
		var models []agent.Model
		models, t.Err = entries[i].Agent.Models(limited)
		t.Models = len(models)
	} else {
		t.Err = s.ask(limited, who, entries[i].Agent, &t)
	}
	t.Took = s.Now().Sub(began)
	if cause := fault.As(context.Cause(limited)); t.Err != nil && cause != nil {
		t.Err = cause
	}
	return t, s.book(ctx, who, &t, request)
}

// ask has the agent say something short.
func (s *Service) ask(ctx context.Context, who tenancy.Principal, a ports.Agent, t *Trial) error {
	const prompt = "Reply with the one word: ok"
	raw, err := json.Marshal(map[string]any{"model": t.Model, "messages": []map[string]string{{"role": "user", "content": prompt}}})
	if err != nil {
		return fault.Internalf("encoding a trial: %w", err)
	}
	req := &chat.Request{Model: t.Model, Messages: []chat.Message{chat.NewMessage(chat.User, prompt)}, N: 1, Raw: raw}
	began := s.Now()
	var fold chat.Assembler
	for e, err := range a.Run(ctx, agent.Task{
		Model: t.Model, Request: req, Messages: req.Messages, Caller: who.Scope(),
		Session: agent.Session{ID: session.NewID(began, s.entropy()).String(), New: 1},
	}) {
		if err == nil {
			err = fold.Add(e)
		}
		if err != nil {
			return err
		}
		if e.Kind.Content() && t.First == 0 {
			t.First = max(s.Now().Sub(began), time.Nanosecond)
		}
		if c := fold.Completion(); e.Kind == chat.Finished {
			if t.Tokens = c.Usage; !c.Counted {
				t.Tokens = chat.Usage{Prompt: chat.EstimatePrompt(req.Messages), Completion: chat.EstimateAnswer(c), Estimated: true}
			}
		}
	}
	if !fold.Finished() {
		return fault.New(fault.Upstream, "The agent's answer ended without a finish reason.").WithCode("stream_truncated")
	}
	return nil
}

// book records the trial, and what it consumed.
func (s *Service) book(ctx context.Context, who tenancy.Principal, t *Trial, request string) error {
	n := trail.Note{
		Who: who.Scope(), Action: audit.AgentTested, Target: string(t.Agent), Request: request,
		Details: map[string]string{"agent": string(t.Agent), "model": t.Model},
	}
	if t.Err != nil {
		n.Outcome, n.Details["reason"] = audit.Failed, fault.KindOf(t.Err).String()
	}
	entry, err := s.Audit.Entry(ctx, n)
	if err != nil {
		return err
	}
	return s.Storage.Atomically(ctx, func(ctx context.Context, tx ports.Repositories) error {
		if t.Tokens != (chat.Usage{}) {
			at := s.Now()
			err := tx.Usage().Record(ctx, who.Scope(), usage.Record{
				ID: usage.NewID(at, s.entropy()), Request: request, Agent: t.Agent, Model: t.Model, Tokens: t.Tokens,
				Cost: s.Completion.Budgets.Cost(agent.Candidate{Agent: t.Agent, Model: t.Model}, t.Tokens), Outcome: usage.Completed, At: at,
			})
			if err != nil {
				return err
			}
		}
		return s.Audit.Append(ctx, tx, entry)
	})
}

func (s *Service) entropy() (b [10]byte) {
	s.Random(b[:])
	return b
}

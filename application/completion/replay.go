package completion

import (
	"agentapi/domain/agent"
	"agentapi/domain/chat"
	"agentapi/domain/fault"
	"agentapi/domain/idempotency"
	"agentapi/domain/session"
)

func replayHead(r *idempotency.Result) (Head, error) {
	if r.Failure != nil {
		return Head{}, r.Failure
	}
	sid, err := session.ParseID(r.Session)
	if err != nil {
		return Head{}, fault.Internalf("a stored idempotency result names no session: %w", err)
	}
	return Head{
		ID: r.ID, Created: r.Created, Model: r.Model, Agent: agent.Name(r.Agent), Served: r.AgentID, Attempts: r.Attempts,
		Route: r.Route, Session: sid, How: session.Continuation(r.How), Ignored: r.Ignored, Replayed: true,
	}, nil
}

func replayWhole(r *idempotency.Result) (*Whole, error) {
	head, err := replayHead(r)
	if err != nil {
		return nil, err
	}
	var fold chat.Assembler
	for _, e := range r.Events {
		if err := fold.Add(e); err != nil {
			return nil, fault.Internalf("a stored idempotency result is broken: %w", err)
		}
	}
	return &Whole{Head: head, Completion: fold.Completion()}, nil
}

func replayStream(r *idempotency.Result) (*Reply, error) {
	head, err := replayHead(r)
	if err != nil {
		return nil, err
	}
	return &Reply{Head: head, tail: r.Events}, nil
}

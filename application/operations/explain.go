package operations

import (
	"context"
	"strconv"

	"agentapi/domain/agent"
	"agentapi/domain/audit"
	"agentapi/domain/fault"
	"agentapi/domain/page"
	"agentapi/domain/tenancy"
)

// Explain tells why a request went where it went or, where nobody remembers that any more,
// how it ended. fault.NotFound: neither is known.
func (s *Service) Explain(ctx context.Context, who tenancy.Principal, request string) (agent.Decision, error) {
	if err := who.May(tenancy.ReadPlatform); err != nil {
		return agent.Decision{}, err
	}
	d, forgotten := s.Routing.Explain(ctx, request)
	if !fault.Is(forgotten, fault.NotFound) {
		return d, forgotten
	}
	if d, err := s.recall(ctx, request); err != nil || d.Recalled != nil {
		return d, err
	}
	return d, forgotten
}

// recent is among how many entries of the audit log, the last ones, a request is looked for:
// they are read one after the other.
const recent = 100_000

// recall reads from the audit log how a request ended.
func (s *Service) recall(ctx context.Context, request string) (d agent.Decision, err error) {
	head, err := s.Storage.Trail().Head(ctx)
	if err != nil {
		return d, err
	}
	q, err := page.Query{After: strconv.FormatUint(head.Seq-min(head.Seq, recent), 10), Limit: 1}.Normal()
	if err != nil {
		return d, err
	}
	found, err := s.Storage.Trail().List(ctx, audit.Filter{Action: audit.ChatCompleted, Request: request}, q)
	if err != nil || len(found.Items) == 0 {
		return d, err
	}
	said, err := audit.Read(found.Items[0].Canon)
	if err != nil {
		return d, fault.Internalf("reading the audit log: %w", err)
	}
	attempts, _ := strconv.Atoi(said.Details["attempts"]) // 0: it does not say
	return agent.Decision{
		Request: request, Org: said.Org, Instance: said.Instance, Ended: true, Kind: said.Details["kind"], Code: said.Details["code"],
		Recalled: &agent.Recalled{Candidate: agent.Candidate{Agent: agent.Name(said.Details["agent"]), Model: said.Details["model"]}, Attempts: attempts, At: said.At()},
	}, nil
}

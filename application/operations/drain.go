package operations

import (
	"context"
	"errors"

	"agentapi/application/trail"
	"agentapi/domain/agent"
	"agentapi/domain/audit"
	"agentapi/domain/page"
	"agentapi/domain/session"
	"agentapi/domain/tenancy"
	"agentapi/ports"
)

// Drain lets an agent finish what it has begun and begin nothing more, on this
// instance at once and on others as with Enable. It is the same where it drains
// already. fault.NotFound, fault.Precondition.
func (s *Service) Drain(ctx context.Context, who tenancy.Principal, name agent.Name, versions []int) (Agent, error) {
	return s.set(ctx, who, name, versions, audit.AgentDrained, func(w *agent.Switch) error {
		if w.Drained {
			return errSame
		}
		w.Drained = true
		return nil
	})
}

// Resume ends Drain.
func (s *Service) Resume(ctx context.Context, who tenancy.Principal, name agent.Name, versions []int) (Agent, error) {
	return s.set(ctx, who, name, versions, audit.AgentResumed, func(w *agent.Switch) error {
		if !w.Drained {
			return errSame
		}
		w.Drained = false
		return nil
	})
}

// Reset closes the breakers of an agent and forgets how it was, on this instance at
// once and on others as with Enable, so that it is asked again as if it had never
// failed. fault.NotFound, fault.Precondition.
func (s *Service) Reset(ctx context.Context, who tenancy.Principal, name agent.Name, versions []int) (Agent, error) {
	return s.set(ctx, who, name, versions, audit.AgentReset, func(w *agent.Switch) error {
		w.Reset = session.Moment(s.Now())
		return nil
	})
}

// set changes an agent's switch, with its record.
func (s *Service) set(ctx context.Context, who tenancy.Principal, name agent.Name, versions []int, as audit.Action, change func(*agent.Switch) error) (Agent, error) {
	if err := who.May(tenancy.WritePlatform); err != nil {
		return Agent{}, err
	}
	if _, err := s.agent(ctx, name); err != nil {
		return Agent{}, err
	}
	entry, err := s.Audit.Entry(ctx, trail.Note{Who: who.Scope(), Action: as, Target: string(name), Details: map[string]string{"agent": string(name)}})
	if err != nil {
		return Agent{}, err
	}
	err = s.turn(ctx, name, entry, func(w *agent.Switch) error {
		if err := w.Expect(versions); err != nil {
			return err
		}
		if err := change(w); err != nil {
			return err
		}
		w.Changed = s.Now()
		return nil
	})
	if err != nil && !errors.Is(err, errSame) {
		return Agent{}, err
	}
	return s.agent(ctx, name)
}

// restore has an agent of this instance begin anew.
func (s *Service) restore(name agent.Name) {
	if g := s.guarded(name); g != nil {
		g.Close()
	}
	s.Vitals.Forget(name)
}

// guarded is an agent of this instance that has breakers, or nil.
func (s *Service) guarded(name agent.Name) ports.Guarded {
	for _, e := range s.Catalog.Now().Entries() {
		if g, ok := e.Agent.(ports.Guarded); ok && e.Name == name {
			return g
		}
	}
	return nil
}

// History gives one page of the changes of an agent's state, as all instances saw
// them. fault.NotFound.
func (s *Service) History(ctx context.Context, who tenancy.Principal, name agent.Name, q page.Query) (page.Of[agent.Change], error) {
	if err := who.May(tenancy.ReadPlatform); err != nil {
		return page.Of[agent.Change]{}, err
	}
	q, err := q.Normal()
	if err != nil {
		return page.Of[agent.Change]{}, err
	}
	if _, err := s.agent(ctx, name); err != nil {
		return page.Of[agent.Change]{}, err
	}
	return s.Storage.Agents().Changes(ctx, name, q)
}

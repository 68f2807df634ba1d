package vitals

import (
	"context"
	"time"

	"agentapi/domain/agent"
)

// tellEvery is how often the storage is told that an agent is as it was.
const tellEvery = time.Minute

// keep mirrors the agents into the storage, once, and tells it how they are and what
// changed. What it does not take now it is told later; serving does not depend on it.
func (s *Service) keep(ctx context.Context) {
	limited, cancel := context.WithTimeout(ctx, s.p.Limit)
	defer cancel()
	err := s.tell(limited)
	if ctx.Err() != nil {
		return
	}
	if err != nil && !s.failing {
		s.p.Observer.Lost(ctx, "how the agents are", err)
	}
	s.failing = err != nil
}

func (s *Service) tell(ctx context.Context) error {
	if !s.mirrored {
		s.mu.Lock()
		configured := s.watched.Configured
		s.mu.Unlock()
		if err := s.p.Storage.Agents().Mirror(ctx, configured); err != nil {
			return err
		}
		s.mirrored = true
	}
	s.mu.Lock()
	changes := s.changes
	news := make(map[agent.Name]agent.Health)
	for name, h := range s.health {
		if at := s.told[name]; at.IsZero() || h.Since.After(at) || h.Seen.Sub(at) >= tellEvery {
			news[name] = h
		}
	}
	s.mu.Unlock()
	if len(changes) > 0 {
		if err := s.p.Storage.Agents().NoteChanges(ctx, changes...); err != nil {
			return err
		}
		s.noted(changes[len(changes)-1].ID)
	}
	for name, h := range news {
		if err := s.p.Storage.Agents().RecordHealth(ctx, name, h); err != nil {
			return err
		}
		s.told[name] = h.Seen
	}
	return nil
}

// noted lets go of the changes up to the one that the storage knows; others may have
// come, and the oldest gone, meanwhile.
func (s *Service) noted(last agent.ChangeID) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for i, c := range s.changes {
		if c.ID == last {
			s.changes = append([]agent.Change(nil), s.changes[i+1:]...)
			return
		}
	}
}

package memory

import (
	"bytes"
	"context"
	"slices"
	"time"

	"agentapi/domain/agent"
	"agentapi/domain/page"
	"agentapi/domain/session"
)

// maxChanges bounds the changes of agents' health that are kept; the oldest go.
const maxChanges = 10_000

func byChange(a agent.Change, id agent.ChangeID) int { return bytes.Compare(a.ID[:], id[:]) }

// NoteChanges stores changes of agents' states.
func (a agents) NoteChanges(ctx context.Context, changes ...agent.Change) error {
	leave, err := a.enter(ctx)
	if err != nil {
		return err
	}
	defer leave()
	for _, c := range changes {
		i, there := slices.BinarySearchFunc(a.s.changes, c.ID, byChange)
		if there {
			continue
		}
		c.At, c.Lasted = session.Moment(c.At), c.Lasted.Truncate(time.Millisecond)
		a.s.changes = slices.Insert(a.s.changes, i, c)
	}
	if n := len(a.s.changes) - maxChanges; n > 0 {
		a.s.changes = slices.Delete(a.s.changes, 0, n)
	}
	return nil
}

// Changes returns one page of the changes of an agent's state.
func (a agents) Changes(ctx context.Context, name agent.Name, q page.Query) (page.Of[agent.Change], error) {
	leave, err := a.enter(ctx)
	if err != nil {
		return page.Of[agent.Change]{}, err
	}
	defer leave()
	return cut(a.s.changes, q, func(c agent.Change) bool { return c.Agent == name }, func(cursor string) (int, bool) {
		id, err := agent.ParseChangeID(cursor)
		at, there := slices.BinarySearchFunc(a.s.changes, id, byChange)
		if !there {
			at = -at - 1 // between two elements
		}
		return at, err == nil
	})
}

// past are the indices of the changes from before a moment, at most most.
func (s *Store) past(before time.Time, most int) (out []int) {
	before = session.Moment(before)
	for i, c := range s.changes {
		if len(out) < most && c.At.Before(before) {
			out = append(out, i)
		}
	}
	return out
}

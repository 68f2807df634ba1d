package completion

import (
	"context"
	"time"

	"agentapi/domain/chat"
	"agentapi/domain/fault"
	"agentapi/domain/session"
	"agentapi/ports"
)

// conversation is where a run stands in a stored session.
type conversation struct {
	session    string           // its id, as it is written
	stored     *session.Session // nil: nothing is stored yet
	transcript []chat.Message   // what the agent shall answer
	fresh      int              // how many of its last messages are not stored
}

// converse finds the stored session, if there is one, and how the request's
// messages go on from it. Until the run ends nobody else has a turn in it.
func (r *run) converse(ctx context.Context) error {
	var (
		want     = r.cmd.Conversation
		in       = r.cmd.Caller.Scope()
		sessions = r.s.Storage.Sessions()
		err      error
	)
	switch {
	case !want.ID.IsZero():
		r.stored, err = sessions.Get(ctx, in, want.ID)
	case !want.Key.IsZero():
		who := r.cmd.Caller.Org().String() + r.cmd.Caller.User().String()
		if err := r.turn("key\x00" + who + "\x00" + want.Key.Source + "\x00" + want.Key.Value); err != nil {
			return err
		}
		r.stored, err = sessions.ByKey(ctx, in, want.Key)
		if fault.Is(err, fault.NotFound) {
			err = nil
		}
	}
	if err != nil {
		return err
	}
	var history []session.Turn
	if r.stored != nil {
		if err := r.turn(r.stored.ID.String()); err != nil {
			return err
		}
		if err := r.stored.TakesTurns(); err != nil {
			return err
		}
		if history, err = sessions.History(ctx, in, r.stored.ID); err != nil {
			return err
		}
	}
	r.How, r.transcript, r.fresh = session.Continue(history, r.cmd.Request.Messages, !want.ID.IsZero())
	if err := chat.CheckOrder(r.transcript, max(0, len(r.transcript)-len(r.cmd.Request.Messages))); err != nil {
		return err
	}
	if r.stored != nil && r.How != session.Forked {
		r.stored.Turns = len(history) // what was compared, so that a turn added since is a conflict
		r.Session = r.stored.ID
	} else {
		r.Session = session.NewID(r.began, r.s.entropy())
	}
	r.session = r.Session.String()
	return nil
}

func (r *run) turn(of string) error {
	if !r.s.turns.enter(of) {
		return fault.New(fault.Conflict, "Another request has its turn in this session. Retry when it has ended.").
			WithCode("session_busy").WithRetryAfter(time.Second)
	}
	r.turns = append(r.turns, of)
	return nil
}

// keep stores what was said, in the transaction tx.
func (r *run) keep(ctx context.Context, tx ports.Repositories, at time.Time) error {
	in, sessions := r.cmd.Caller.Scope(), tx.Sessions()
	turns := r.newTurns(at)
	if r.stored != nil && r.How != session.Forked {
		err := sessions.Append(ctx, in, r.Session, r.stored.Turns, turns...)
		if err != nil || r.stored.Turns > 0 {
			return err
		}
		return sessions.Update(ctx, in, r.Session, func(s *session.Session) error {
			if s.Title == "" { // it was opened without one
				s.Title = r.title()
			}
			return nil
		})
	}
	var key session.Key
	if r.cmd.Conversation.ID.IsZero() {
		key = r.cmd.Conversation.Key
	}
	if r.stored != nil && !key.IsZero() {
		// The client's key goes on with the fork; the stored session stays as it is.
		if err := sessions.Update(ctx, in, r.stored.ID, func(s *session.Session) error {
			s.Key = session.Key{}
			return nil
		}); err != nil {
			return err
		}
	}
	s := session.New(r.Session, in, key, at)
	s.Agent, s.Model, s.Native = r.Agent, r.Served, r.native
	s.Title = r.title()
	return sessions.Create(ctx, in, s, turns...)
}

// title is made of the first thing that the user said.
func (r *run) title() string {
	for i := range r.transcript {
		if r.transcript[i].Role == chat.User {
			return session.Title(r.transcript[i].Text())
		}
	}
	return ""
}

// newTurns are the messages that are not stored yet and the answer's first choice.
func (r *run) newTurns(at time.Time) []session.Turn {
	at = session.Moment(at)
	fresh := r.transcript[len(r.transcript)-r.fresh:]
	turns := make([]session.Turn, len(fresh)+1)
	for i := range turns {
		t := &turns[i]
		t.ID = session.NewTurnID(at, r.s.entropy())
		t.Request, t.Created = r.cmd.RequestID, at
		if i < len(fresh) {
			t.Message = fresh[i]
		}
	}
	first, last := &r.answer.Choices[0], &turns[len(fresh)]
	last.Message, last.Finish = first.Message, first.Finish
	last.Agent, last.Model, last.Native, last.Store = r.Agent, r.Served, r.native, r.cmd.Request.Store
	last.TokensIn, last.TokensOut = r.answer.Usage.Prompt, r.answer.Usage.Completion
	return turns
}

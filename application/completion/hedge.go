package completion

import (
	"context"
	"slices"
	"time"

	"agentapi/domain/agent"
	"agentapi/domain/chat"
	"agentapi/domain/fault"
	"agentapi/ports"
)

// hedges tells whether a second candidate may be asked beside the first: the answer is
// short and comes in one piece, to ask twice changes nothing anywhere, and the second runs
// no program, for which it had to have a place.
func (r *run) hedges() bool {
	req, h := r.cmd.Request, r.route.Plan.Hedge
	return h.After > 0 && !req.Stream && req.N <= 1 && req.MaxTokens > 0 && req.MaxTokens <= h.MaxTokens && len(req.Tools) == 0 &&
		len(r.candidates) > 1 && r.well() > 1 && !r.cat.Agent(r.candidates[1].Agent).Capabilities().Program && r.resumes(r.candidates[0]) == "" && r.resumes(r.candidates[1]) == ""
}

// side is one of two candidates that are asked at a time, and its answer.
type side struct {
	c      agent.Candidate
	at     int // its place among those that were tried
	asked  time.Time
	events []chat.Event
	fold   chat.Assembler
	err    error
	first  time.Duration // until its first content
}

// race asks the first candidate and, unless it has answered or failed in time, the second
// beside it. Who answers first wins; the other is ended, and nothing of it is booked. It
// gives those that failed; nobody: the attempt was well.
func (r *run) race(ctx context.Context, attempt func(ports.Events) error) (failed []failure) {
	both, end := context.WithCancel(ctx)
	defer end()
	var (
		done    = make(chan *side, 2)
		running []*side
	)
	begin := func(c agent.Candidate) {
		s := &side{c: c, at: r.ask(ctx, c, 0, len(running) > 0), asked: r.s.Now()}
		task := r.task(c)
		running = append(running, s)
		r.stays.Add(1)
		r.s.outrun.Go(func() {
			defer r.quit()
			r.gather(both, s, task)
			done <- s
		})
	}
	begin(r.candidates[0])
	late := time.NewTimer(r.route.Plan.Hedge.After)
	defer late.Stop()
	for len(running) > 0 {
		var s *side
		select {
		case <-late.C:
			if r.s.Routing.Allow() {
				begin(r.candidates[1])
			}
			continue
		case s = <-done:
		}
		running = slices.DeleteFunc(running, func(other *side) bool { return other == s })
		if len(failed) > 0 {
			r.lose() // what the other has used
		}
		r.become(s.c, s.at)
		r.tried[s.at].First = s.first
		if s.err == nil {
			if s.err = attempt(replayed(s.events)); s.err == nil {
				r.trace.Became(s.at, r.s.Now(), agent.Answered, nil)
				if r.outran(running); r.measures() {
					r.s.Routing.Began(s.c, false, s.first)
				}
				return nil
			}
		}
		r.fold = s.fold
		r.failed(ctx, s.c, s.at, s.err)
		failed = append(failed, failure{s.c, s.err})
		if !agent.MayFailOver(s.err) && !fault.Is(s.err, fault.TooLong) { // the other may have more room
			r.outran(running)
			return failed
		}
		late.Stop()
	}
	return failed
}

// outran notes that these are ended, since it is known without them how the request ends.
func (r *run) outran(all []*side) {
	for _, s := range all {
		r.trace.Became(s.at, r.s.Now(), agent.Outrun, nil)
	}
}

// gather takes the whole of a side's answer.
func (r *run) gather(ctx context.Context, s *side, task agent.Task) {
	defer func() {
		if p := recover(); p != nil {
			s.err = fault.Internalf("panic in an agent: %v", p)
		}
	}()
	a := r.cat.Agent(s.c.Agent)
	for e, err := range r.afforded(a.Run(ctx, task), a.Capabilities()) {
		if err == nil {
			e.Native = slices.Clone(e.Native)
			err = s.fold.Add(e)
		}
		if err != nil {
			s.err = err
			return
		}
		if s.first == 0 && e.Kind.Content() {
			s.first = took(s.asked, r.s.Now())
		}
		s.events = append(s.events, e)
	}
	s.err = ended(&s.fold)
}

// replayed gives events that are there already.
func replayed(all []chat.Event) ports.Events {
	return func(yield func(chat.Event, error) bool) {
		for _, e := range all {
			if !yield(e, nil) {
				return
			}
		}
	}
}

// quit leaves the catalog, whose agents may stop then, once all have quit that use it: the
// request itself, and whoever it has asked beside another.
func (r *run) quit() {
	if r.stays.Add(-1) == 0 {
		r.cat.Leave()
	}
}

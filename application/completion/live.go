package completion

import (
	"cmp"
	"context"
	"slices"
	"sync"
	"time"

	"agentapi/domain/agent"
	"agentapi/domain/fault"
	"agentapi/domain/session"
	"agentapi/domain/tenancy"
)

// Phase is how far a request is that runs.
type Phase string

// The phases, in their order. With another agent it begins to wait again.
const (
	Preparing Phase = "preparing" // no agent is asked yet
	Waiting   Phase = "waiting"   // for the agent's first words
	Answering Phase = "answering"
	Storing   Phase = "storing" // the answer is complete, and cannot be ended any more
)

// Running is a request that runs on this instance.
type Running struct {
	Request string
	Org     tenancy.OrgID
	User    tenancy.UserID
	Session session.ID // zero: it is not known yet
	Model   string     // as asked for
	Agent   agent.Name // that is asked now; empty: none yet
	Served  string     // the agent's id of the model
	Attempt int        // candidates tried, from 1; 0: none yet
	Stream  bool
	Started time.Time
	Phase   Phase
}

// live is what runs on this instance.
type live struct {
	mu     sync.Mutex
	all    map[*place]struct{}
	guests map[*guest]struct{}
}

// place is one request's entry among what runs.
type place struct {
	among *live
	who   Caller
	stop  context.CancelCauseFunc

	is   Running       // guarded by the mutex of live, like what follows
	over chan struct{} // closed when it has ended; nil: nobody waits for that
}

// enter gives a request its place, until it leaves.
func (l *live) enter(p *place) {
	p.among = l
	l.mu.Lock()
	defer l.mu.Unlock()
	l.all[p] = struct{}{}
}

// tell notes how far the request is.
func (p *place) tell(change func(*Running)) {
	p.among.mu.Lock()
	defer p.among.mu.Unlock()
	change(&p.is)
}

func (p *place) leave() {
	p.among.mu.Lock()
	defer p.among.mu.Unlock()
	delete(p.among.all, p)
	if p.over != nil {
		close(p.over)
	}
}

// Running lists what runs on this instance, the oldest first.
func (s *Service) Running() []Running {
	s.live.mu.Lock()
	out := make([]Running, 0, len(s.live.all))
	for p := range s.live.all {
		out = append(out, p.is)
	}
	s.live.mu.Unlock()
	slices.SortFunc(out, func(a, b Running) int { return cmp.Or(a.Started.Compare(b.Started), cmp.Compare(a.Request, b.Request)) })
	return out
}

// Unbooked is how many ends of requests wait to be booked, because the storage did not
// take them, and how long the oldest of them has.
func (s *Service) Unbooked() (n int, lag time.Duration) { return s.late.waiting() }

// stopping is why a context ends whose request was ended here. It is no fault, so that
// no agent is blamed.
type stopping struct {
	told *fault.Error // what its client is told
}

func (stopping) Error() string { return "the request was ended" }

// byAdministrator is the end that an administrator brings about.
var byAdministrator = stopping{fault.New(fault.Unavailable, "An administrator has ended this request.").WithCode("request_ended")}

// End ends the running requests that chosen chooses, and gives them. Their clients
// are told why, with code request_ended. It waits until they have ended, but not
// longer than ctx lasts: a client that takes nothing holds its own up.
func (s *Service) End(ctx context.Context, chosen func(Running) bool) []Running {
	var (
		out   []Running
		stops []context.CancelCauseFunc
		overs []chan struct{}
	)
	s.live.mu.Lock()
	for p := range s.live.all {
		if chosen(p.is) {
			if p.over == nil {
				p.over = make(chan struct{})
			}
			out, stops, overs = append(out, p.is), append(stops, p.stop), append(overs, p.over)
		}
	}
	s.live.mu.Unlock()
	for _, stop := range stops {
		stop(byAdministrator)
	}
	for _, over := range overs {
		select {
		case <-over:
		case <-ctx.Done():
		}
	}
	return out
}

// why is the error of a run as its client shall see it.
func (r *run) why(err error) error {
	return toldBy(r.ctx, err)
}

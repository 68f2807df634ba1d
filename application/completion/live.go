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
	all    map[*run]struct{}
	guests map[*guest]struct{}
}

// shown is how far a run is, as others see it. It is guarded by the mutex of live.
type shown struct {
	session session.ID
	agent   agent.Name
	served  string
	attempt int
	phase   Phase
	over    chan struct{} // closed when it has ended; nil: nobody waits for that
}

// enter has the run be among what runs, until it leaves.
func (r *run) enter() {
	l := &r.s.live
	l.mu.Lock()
	defer l.mu.Unlock()
	l.all[r] = struct{}{}
}

// tell notes how far the run is.
func (r *run) tell(change func(*shown)) {
	l := &r.s.live
	l.mu.Lock()
	defer l.mu.Unlock()
	change(&r.shown)
}

func (r *run) leave() {
	l := &r.s.live
	l.mu.Lock()
	defer l.mu.Unlock()
	delete(l.all, r)
	if r.shown.over != nil {
		close(r.shown.over)
	}
}

// running is the run as others see it; the mutex of live is held.
func (r *run) running() Running {
	who, is := r.cmd.Caller, &r.shown
	return Running{
		Request: r.cmd.RequestID, Org: who.Org(), User: who.User(), Session: is.session, Model: r.cmd.Request.Model,
		Agent: is.agent, Served: is.served, Attempt: is.attempt, Stream: r.cmd.Request.Stream, Started: r.began, Phase: is.phase,
	}
}

// Running lists what runs on this instance, the oldest first.
func (s *Service) Running() []Running {
	s.live.mu.Lock()
	out := make([]Running, 0, len(s.live.all))
	for r := range s.live.all {
		out = append(out, r.running())
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
	for r := range s.live.all {
		if is := r.running(); chosen(is) {
			if r.shown.over == nil {
				r.shown.over = make(chan struct{})
			}
			out, stops, overs = append(out, is), append(stops, r.stop), append(overs, r.shown.over)
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

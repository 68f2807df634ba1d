package completion

import (
	"context"
	"errors"
	"slices"
	"time"

	"agentapi/application/routing"
	"agentapi/domain/agent"
	"agentapi/domain/chat"
	"agentapi/domain/fault"
	"agentapi/ports"
)

// resolve finds who may answer the request.
func (r *run) resolve(ctx context.Context) (err error) {
	if r.route, err = r.cat.Resolve(ctx, r.cmd.Caller, r.cmd.Request.Model); err == nil {
		r.route, err = r.cat.Fit(r.route, r.cmd.Request)
	}
	return err
}

// choose puts those who may answer in the order in which they are asked.
func (r *run) choose() {
	var ask routing.Ask
	if len(r.route.Candidates) > 1 {
		ask = r.asks()
	}
	choice := r.s.Routing.Choose(&r.route.Plan, r.route.Candidates, r.well(), ask)
	r.candidates = choice.Candidates
	r.trace.Choice(r.route, choice, r.cat.Ill)
}

// asks is what the request says of where it wants to go.
func (r *run) asks() routing.Ask {
	ask := routing.Ask{
		Org: r.cmd.Caller.Org().String(), User: r.cmd.Caller.User().String(),
		CacheKey: r.cmd.Request.PromptCacheKey, Stream: r.cmd.Request.Stream,
	}
	switch key := r.cmd.Conversation.Key; {
	case !key.IsZero(): // it stays where a conversation forks
		ask.Conversation = key.Source + "\x00" + key.Value
	case r.stored != nil:
		ask.Conversation = r.stored.ID.String()
	default:
		ask.Conversation = r.session
	}
	return ask
}

// well is how many of the route's candidates are: those come first.
func (r *run) well() int {
	for i, c := range r.route.Candidates {
		if r.cat.Ill(c.Agent) {
			return i
		}
	}
	return len(r.route.Candidates)
}

// each hands the candidates' events to attempt, one candidate after the other,
// until one does not fail, the failure is final, or no more may be tried. Where none is
// left, the last is asked again that was not reached.
func (r *run) each(ctx context.Context, attempt func(ports.Events) error) error {
	r.s.Routing.Count()
	var (
		failures []failure
		waited   time.Duration
	)
	for i, n := 0, 1; ; {
		failed := r.try(ctx, i, waited, attempt)
		if len(failed) == 0 {
			return nil
		}
		if n > 1 {
			failures = failures[:len(failures)-1] // of the same agent
		}
		failures = append(failures, failed...)
		i += len(failed) - 1
		end := failed[len(failed)-1]
		err := end.err
		if ctx.Err() != nil || !agent.MayFailOver(err) && !r.roomier(i, end) {
			return err
		}
		last := i == len(r.candidates)-1
		wait, again := r.s.Routing.Again(n, err)
		if last && !again {
			return allFailed(failures)
		}
		if !agent.Unasked(err) && !r.s.Routing.Allow() {
			r.trace.Stop("too much was tried again in the last seconds")
			return allFailed(failures)
		}
		r.lose()
		if waited = 0; last {
			n, waited = n+1, wait
			routing.Wait(ctx, wait)
		} else {
			i, n = i+1, 1
		}
	}
}

// roomier leaves, behind a place up to which candidates were asked, only those that are
// known to have more room than one that had too little for the prompt; and tells whether
// there are any.
func (r *run) roomier(i int, f failure) bool {
	if !fault.Is(f.err, fault.TooLong) {
		return false
	}
	small, rest := r.cat.Known(f.who), slices.Clone(r.candidates[i+1:])
	rest = slices.DeleteFunc(rest, func(c agent.Candidate) bool {
		return !r.cat.Known(c).Roomier(small, r.s.Tokens.Prompt(c.Model, r.transcript, r.cmd.Request.Tools))
	})
	r.candidates = append(slices.Clone(r.candidates[:i+1]), rest...)
	return len(rest) > 0
}

// try asks the candidate at a place and, where that takes long and it may, the next one
// beside it. It gives those that failed; nobody: the attempt was well.
func (r *run) try(ctx context.Context, i int, waited time.Duration, attempt func(ports.Events) error) []failure {
	if i == 0 && r.hedges() {
		return r.race(ctx, attempt)
	}
	c := r.candidates[i]
	at := r.ask(ctx, c, waited, false)
	r.become(c, at)
	a := r.cat.Agent(c.Agent)
	err := r.runs(ctx, a.Capabilities())
	if err == nil {
		err = attempt(r.afforded(a.Run(ctx, r.task(c)), a.Capabilities()))
	}
	if err == nil {
		if !r.cmd.Request.Stream {
			r.trace.Became(at, r.s.Now(), agent.Answered, nil)
		}
		return nil
	}
	r.failed(ctx, c, at, err)
	return []failure{{c, err}}
}

// ask notes that a candidate is asked, and gives its place in the trace and among those
// that were tried, which is the same.
func (r *run) ask(ctx context.Context, c agent.Candidate, waited time.Duration, hedge bool) int {
	r.Attempts++
	r.tell(func(is *shown) {
		is.session, is.agent, is.served, is.attempt, is.phase = r.Session, c.Agent, c.Model, r.Attempts, Waiting
	})
	r.s.Observer.Attempt(ctx, c.Agent, c.Model, r.Attempts)
	at := r.s.Now()
	r.trace.Ask(c, at, waited, hedge)
	r.tried = append(r.tried, ports.Tried{Agent: c.Agent, Model: c.Model, Hedge: hedge, Began: at})
	return len(r.tried) - 1
}

// become has the answer be a candidate's, of which nothing is there yet.
func (r *run) become(c agent.Candidate, at int) {
	r.Agent, r.Served, r.attempt = c.Agent, c.Model, at
	r.fold, r.native, r.events, r.speaks = chat.Assembler{}, "", r.events[:0], false
	r.Ignored = r.cat.Agent(c.Agent).Capabilities().Ignored(r.cmd.Request)
}

// begun notes that the answer has begun.
func (r *run) begun() {
	at := r.s.Now()
	r.trace.Became(r.attempt, at, agent.Answering, nil)
	t := &r.tried[r.attempt]
	if t.First > 0 {
		return // it was measured when it came, not when it is replayed
	}
	if t.First = took(t.Began, at); r.measures() {
		r.s.Routing.Began(agent.Candidate{Agent: r.Agent, Model: r.Served}, r.cmd.Request.Stream, t.First)
	}
}

// failed notes that a candidate has failed, and what it had used by then.
func (r *run) failed(ctx context.Context, c agent.Candidate, at int, err error) {
	r.s.Observer.AttemptFailed(ctx, c.Agent, err)
	tokens, _ := r.seen()
	now := r.s.Now()
	r.conclude(at, now, err, tokens)
	how := agent.Failed
	switch {
	case errors.Is(err, agent.ErrLeftAlone):
		how = agent.LeftAlone
	case agent.Unasked(err):
		how = agent.Busy
	}
	r.trace.Became(at, now, how, err)
	if r.measures() && agent.MayFailOver(err) {
		r.s.Routing.Stumbled(c, r.cmd.Request.Stream, r.tried[at].Took)
	}
}

// measures tells whether it matters how soon candidates answer.
func (r *run) measures() bool { return r.route.Plan.Strategy == agent.LeastLatency }

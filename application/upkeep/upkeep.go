// Package upkeep removes what need not be kept any more, and what must not be.
package upkeep

import (
	"context"
	"errors"
	"math/rand/v2"
	"strconv"
	"sync/atomic"
	"time"

	"agentapi/application/trail"
	"agentapi/domain/audit"
	"agentapi/domain/fault"
	"agentapi/domain/idempotency"
	"agentapi/domain/page"
	"agentapi/domain/retention"
	"agentapi/domain/tenancy"
	"agentapi/ports"
)

// Params is what a Service needs.
type Params struct {
	Storage  ports.Storage
	Policies retention.Policies // at first
	Every    time.Duration      // between two sweeps
	Instance string             // this process, as the holder of the lease
	Observer ports.Observer
	Now      func() time.Time
	NewUser  func() tenancy.UserID // a pseudonym that nobody has
	Audit    *trail.Recorder       // nil: nothing is recorded
	// Erased is told that somebody is not known any more.
	Erased func(context.Context)
}

// Service sweeps in the background, one instance at a time, and erases users. It
// is safe for concurrent use.
type Service struct {
	Params
	policy atomic.Pointer[retention.Policies]
	wake   chan struct{} // there may be a job
}

// New makes a Service; Run sweeps, and Work does jobs.
func New(p Params) *Service {
	s := &Service{Params: p, wake: make(chan struct{}, 1)}
	s.Govern(p.Policies)
	return s
}

// Govern has other policies hold from the next sweep on.
func (s *Service) Govern(p retention.Policies) { s.policy.Store(&p) }

const (
	// batch is how many rows one transaction removes at most, so that others do not
	// wait long for it.
	batch = 500
	// lease is whose turn it is; it lasts for batches, not for sweeps, so that a
	// dead holder's work is soon taken over.
	lease    = "upkeep"
	leaseFor = time.Minute
)

// Run sweeps soon after it begins and then every Params.Every until ctx ends, and
// tells the observer. Servers that start together do not sweep together.
func (s *Service) Run(ctx context.Context) {
	next := time.NewTimer(rand.N(min(s.Every, time.Minute)))
	defer next.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-next.C:
			done, err := s.Sweep(ctx)
			if ctx.Err() == nil && !fault.Is(err, fault.Conflict) { // another's turn
				s.Observer.Swept(ctx, done, err)
			}
			next.Reset(s.Every)
		}
	}
}

// Sweep removes what the policies let go, and idempotency results that are not
// replayed any more, in small transactions. What fails holds up nothing else. It
// tells how much went, and all that failed. fault.Conflict, code upkeep_running: another instance sweeps.
func (s *Service) Sweep(ctx context.Context) (done ports.Swept, err error) {
	defer func() {
		if done != (ports.Swept{}) {
			err = errors.Join(err, s.Audit.Record(context.WithoutCancel(ctx), trail.Note{Action: audit.DataExpired, Actor: audit.System, Details: map[string]string{
				"sessions": strconv.Itoa(done.Sessions), "usage": strconv.Itoa(done.Usage), "results": strconv.Itoa(done.Results), "agent_health": strconv.Itoa(done.Health),
			}}))
		}
	}()
	if err := s.hold(ctx); err != nil {
		return done, err
	}
	defer func() { // whoever comes next need not wait for its end
		_, _ = s.Storage.Upkeep().Lease(context.WithoutCancel(ctx), lease, s.Instance, s.Now(), -time.Millisecond)
	}()
	results, err := s.Storage.Idempotency().Prune(ctx, s.Now().Add(-idempotency.Keep))
	done.Results = results
	_, failed := s.Storage.Jobs().Prune(ctx, s.Now().Add(-keepJobs), batch)
	err = errors.Join(err, failed)
	_, failed = s.Storage.Budgets().Prune(ctx, s.Now(), batch)
	err = errors.Join(err, failed)
	policies, failed := s.policies(ctx)
	if failed != nil { // what somebody wants gone sooner would be taken for what may stay
		return done, errors.Join(err, failed)
	}
	n, failed := s.Storage.Upkeep().Rotate(ctx, s.Now(), policies.UsageGone(s.Now()))
	done.Add(retention.Usage, n)
	err = errors.Join(err, failed)
	for _, rule := range policies.Rules(s.Now()) {
		n, failed := s.expire(ctx, rule)
		done.Add(rule.Kind, n)
		err = errors.Join(err, failed)
	}
	return done, err
}

// expire removes what one rule lets go.
func (s *Service) expire(ctx context.Context, rule retention.Rule) (total int, err error) {
	for more := true; more; {
		if err := s.hold(ctx); err != nil {
			return total, err
		}
		var n int
		n, more, err = s.Storage.Upkeep().Expire(ctx, rule, batch)
		if total += n; err != nil {
			return total, err
		}
	}
	return total, nil
}

// Pending counts what a sweep would remove now by the policies.
func (s *Service) Pending(ctx context.Context) (out ports.Swept, err error) {
	policies, err := s.policies(ctx)
	if err != nil {
		return out, err
	}
	for _, rule := range policies.Rules(s.Now()) {
		n, err := s.Storage.Upkeep().Expiring(ctx, rule)
		if err != nil {
			return out, err
		}
		out.Add(rule.Kind, n)
	}
	return out, nil
}

// policies are the configuration's, with what organisations want to be kept for less.
func (s *Service) policies(ctx context.Context) (retention.Policies, error) {
	wishes := make(map[tenancy.OrgID]tenancy.Keeps)
	for q := (page.Query{Limit: page.MaxLimit}); ; {
		found, err := s.Storage.Directory().Orgs(ctx, tenancy.OrgFilter{}, q)
		if err != nil {
			return *s.policy.Load(), err
		}
		for _, o := range found.Items {
			if o.Keeps != (tenancy.Keeps{}) {
				wishes[o.ID] = o.Keeps
			}
		}
		if !found.More {
			return s.policy.Load().With(wishes), nil
		}
		q.After = found.Items[len(found.Items)-1].ID.String()
	}
}

func (s *Service) hold(ctx context.Context) error {
	held, err := s.Storage.Upkeep().Lease(ctx, lease, s.Instance, s.Now(), leaseFor)
	if err == nil && !held {
		err = fault.New(fault.Conflict, "Another server is at it.").WithCode("upkeep_running")
	}
	return err
}

// Erase removes all that is stored of a user: conversations and the results of
// keyed requests. What the user consumed stays in the organisation's account, as
// numbers under a pseudonym that leads nowhere. It goes on until nothing is left,
// whatever the user does meanwhile, and tells how many rows it were.
func (s *Service) Erase(ctx context.Context, in tenancy.Scope) (total int, err error) {
	return s.erase(ctx, in, s.NewUser(), func(int) error { return nil })
}

// erase is Erase with a pseudonym that is given, and tells how far it is.
func (s *Service) erase(ctx context.Context, in tenancy.Scope, pseudonym tenancy.UserID, tell func(total int) error) (total int, err error) {
	for {
		n, err := s.Storage.Upkeep().Erase(ctx, in, pseudonym, batch)
		total += n
		if err == nil {
			err = tell(total)
		}
		if err != nil {
			return total, err
		}
		if n > 0 {
			continue
		}
		if s.Audit == nil { // an earlier log may know them
			_, err = s.Storage.Audit().Forget(ctx, in)
			return total, err
		}
		return total, s.Audit.Forget(ctx, in, total)
	}
}

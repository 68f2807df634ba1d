package trail

import (
	"cmp"
	"context"
	"crypto/ed25519"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"agentapi/domain/audit"
	"agentapi/domain/fault"
	"agentapi/domain/page"
	"agentapi/ports"
)

// Params is what a Service needs.
type Params struct {
	Storage  ports.Storage
	Recorder *Recorder
	Key      ed25519.PrivateKey // that signs checkpoints
	Keeper   ports.CheckpointKeeper
	Every    time.Duration // between two checkpoints, also where nothing happens
	Instance string
	Version  string // of the build, for the log
	Observer ports.Observer
	Now      func() time.Time
	Keep     Keep
}

// Service signs checkpoints, verifies what is new and from time to time the whole,
// one server at a time. Start and Stop record that the server does. Its questions
// may be asked at any time after the start.
type Service struct {
	Params
	// What follows is of Run only.
	verifier *audit.Verifier // of what came since the start
	seen     uint64
	signed   atomic.Uint64 // the size at the last checkpoint
	retained time.Time     // when it was looked for what is old

	mu    sync.Mutex
	state State
}

// New makes a Service.
func New(p Params) *Service { return &Service{Params: p} }

// Checked is a verification of this server's own accord.
type Checked struct {
	At      time.Time // zero: there was none
	Verdict audit.Verdict
}

// State is what is known of the log without looking at it anew.
type State struct {
	Recent Checked // of what came since the start, where it is this server's turn
	Whole  Checked // of all
}

// Finding is what is known to be wrong with the log; nil: nothing.
func (s State) Finding() *audit.Finding {
	return cmp.Or(s.Recent.Verdict.Finding, s.Whole.Verdict.Finding)
}

// State tells what is known of the log.
func (s *Service) State() State {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.state
}

// Public is the key that checkpoints are checked with.
func (s *Service) Public() audit.Key { return audit.KeyOf(s.Key) }

// Verify holds a part of the log against itself and all checkpoints, and records
// that it did so for someone.
func (s *Service) Verify(ctx context.Context, p Part, by Note) (audit.Verdict, error) {
	kept, err := s.Keeper.Kept(ctx)
	if err != nil {
		return audit.Verdict{}, fault.Wrap(fault.Unavailable, err, "The checkpoints that are kept beside the storage cannot be read.").WithCode("audit_unavailable")
	}
	v, err := Verify(ctx, s.Storage, p, kept, []audit.Key{s.Public()})
	if err != nil {
		return v, err
	}
	by.Action, by.Outcome, by.Details = audit.AuditVerified, audit.OK, map[string]string{
		"entries": strconv.FormatUint(v.Entries, 10), "last": strconv.FormatUint(v.Last, 10), "checkpoints": strconv.Itoa(v.Checkpoints),
	}
	if f := v.Finding; f != nil {
		by.Outcome, by.Details["kind"], by.Details["first"] = audit.Failed, string(f.Kind), strconv.FormatUint(f.Seq, 10)
	}
	return v, s.Recorder.Record(ctx, by)
}

const (
	lease = "audit"
	// most is how many entries come between two checkpoints at most, as far as it is
	// looked at often enough.
	most = 10_000
	// atOnce is how many entries are read at once.
	atOnce = 1000
	// wholeEvery is how long the whole log goes unverified.
	wholeEvery = 7 * 24 * time.Hour
)

// newest asks a list for its last element.
var newest = page.Query{Limit: 1, Desc: true}

// Start records the start and signs a checkpoint. fault.Unavailable: the log
// cannot be written, so the server must not serve.
func (s *Service) Start(ctx context.Context) error {
	head, err := s.Storage.Trail().Head(ctx)
	if err != nil {
		return err
	}
	s.verifier, s.seen = &audit.Verifier{After: head}, head.Seq
	if err := s.Recorder.Record(ctx, Note{Action: audit.ServerStarted, Actor: audit.System, Details: map[string]string{"version": s.Version}}); err != nil {
		return err
	}
	s.checkpoint(ctx)
	return nil
}

// Stop records the stop, signs a checkpoint and leaves the turn to another server.
func (s *Service) Stop(ctx context.Context) error {
	err := s.Recorder.Record(ctx, Note{Action: audit.ServerStopped, Actor: audit.System})
	if s.checkpoint(ctx) {
		_, _ = s.Storage.Upkeep().Lease(ctx, lease, s.Instance, s.Now(), -1) // else it ends by itself
	}
	return err
}

// Run signs checkpoints and verifies, until ctx ends.
func (s *Service) Run(ctx context.Context) {
	tick := time.NewTicker(max(time.Second, s.Every/12))
	defer tick.Stop()
	last := s.Now()
	var whole sync.WaitGroup
	defer whole.Wait()
	done := make(chan bool, 1) // has what says that none runs
	done <- true
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		due := s.Now().Sub(last) >= s.Every
		if !due {
			head, err := s.Storage.Trail().Head(ctx)
			due = err == nil && head.Seq >= s.signed.Load()+most
		}
		if due {
			last = s.Now()
			if s.checkpoint(ctx) {
				s.follow(ctx)
				select {
				case <-done:
					whole.Go(func() {
						s.whole(ctx)
						s.retain(ctx)
						done <- true
					})
				default: // it still runs
				}
			}
		}
	}
}

// checkpoint signs what the log is, where it is this server's turn. It goes to the
// storage and to where the keeper keeps it; either is better than none.
func (s *Service) checkpoint(ctx context.Context) (turn bool) {
	lost := func(err error) bool {
		if ctx.Err() == nil {
			s.Observer.Lost(ctx, "a checkpoint of the audit log", err)
		}
		return false
	}
	turn, err := s.Storage.Upkeep().Lease(ctx, lease, s.Instance, s.Now(), 3*s.Every/2)
	if err != nil {
		return lost(err)
	}
	if !turn {
		return false
	}
	head, err := s.Storage.Trail().Head(ctx)
	if err != nil {
		return lost(err)
	}
	before, err := s.Storage.Trail().LastCheckpoint(ctx)
	if err != nil {
		return lost(err)
	}
	var previous [32]byte
	if before.Note != "" {
		previous = before.Hash()
	}
	c := audit.Sign(s.Key, head, s.Now(), previous)
	s.signed.Store(head.Seq)
	// First where nobody who has the database can reach it.
	if err := s.Keeper.Keep(ctx, c.Note); err != nil {
		lost(err)
	}
	if err := s.Storage.Trail().Checkpoint(ctx, c); err != nil {
		return lost(err)
	}
	return true
}

// follow verifies what is new since the last time, unless it is in this process's memory,
// where nobody else can change it.
func (s *Service) follow(ctx context.Context) {
	if forgetful(s.Storage) {
		return
	}
	for s.State().Recent.Verdict.Finding == nil {
		some, err := s.Storage.Trail().Range(ctx, s.seen, atOnce)
		if err != nil {
			return // the next time tells
		}
		for i := range some {
			s.verifier.Add(&some[i])
			s.seen = max(s.seen, some[i].Seq)
		}
		s.learn(ctx, s.verifier.Verdict(), func(st *State) *Checked { return &st.Recent })
		if len(some) < atOnce {
			return
		}
	}
}

// learn keeps a verdict, and tells the first that finds something.
func (s *Service) learn(ctx context.Context, v audit.Verdict, as func(*State) *Checked) {
	s.mu.Lock()
	known := s.state.Finding() != nil
	*as(&s.state) = Checked{s.Now(), v}
	s.mu.Unlock()
	if v.Finding != nil && !known {
		s.Observer.AuditBroken(ctx, *v.Finding)
	}
}

// whole verifies the whole log, where nobody has for long, unless follow has no need to.
func (s *Service) whole(ctx context.Context) {
	if forgetful(s.Storage) {
		return
	}
	last, err := s.Storage.Trail().List(ctx, audit.Filter{Actor: audit.System, Action: audit.AuditVerified}, newest)
	if err != nil || s.State().Whole.Verdict.Finding != nil {
		return // the next time tells, or it is told
	}
	for _, e := range last.Items {
		if c := &e.Columns; c.Outcome == audit.OK && s.Now().Sub(c.At()) < wholeEvery {
			return
		}
	}
	v, err := s.Verify(ctx, Part{}, Note{Actor: audit.System})
	if err != nil {
		if ctx.Err() == nil {
			s.Observer.Lost(ctx, "the verification of the audit log", err)
		}
		return
	}
	s.learn(ctx, v, func(st *State) *Checked { return &st.Whole })
}

func counted(name string, n int) map[string]string { return map[string]string{name: strconv.Itoa(n)} }

package trail

import (
	"context"
	"crypto/ed25519"
	"strconv"
	"time"

	"agentapi/domain/audit"
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
}

// Service signs checkpoints and verifies what is new, one server at a time. Start
// and Stop record that the server does.
type Service struct {
	Params
	verifier *audit.Verifier // of what came since the start; of Run only
	seen     uint64
	broken   bool
	signed   uint64 // the size at the last checkpoint
}

// New makes a Service.
func New(p Params) *Service { return &Service{Params: p} }

const (
	lease = "audit"
	// most is how many entries come between two checkpoints at most, as far as it is
	// looked at often enough.
	most = 10_000
	// atOnce is how many entries are read at once.
	atOnce = 1000
)

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

// Stop records the stop and signs a checkpoint.
func (s *Service) Stop(ctx context.Context) error {
	err := s.Recorder.Record(ctx, Note{Action: audit.ServerStopped, Actor: audit.System})
	s.checkpoint(ctx)
	return err
}

// Run signs checkpoints and verifies, until ctx ends.
func (s *Service) Run(ctx context.Context) {
	tick := time.NewTicker(max(time.Second, s.Every/12))
	defer tick.Stop()
	last := s.Now()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		due := s.Now().Sub(last) >= s.Every
		if !due {
			head, err := s.Storage.Trail().Head(ctx)
			due = err == nil && head.Seq >= s.signed+most
		}
		if due {
			last = s.Now()
			if s.checkpoint(ctx) {
				s.follow(ctx)
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
	s.signed = head.Seq
	// First where nobody who has the database can reach it.
	if err := s.Keeper.Keep(ctx, c.Note); err != nil {
		lost(err)
	}
	if err := s.Storage.Trail().Checkpoint(ctx, c); err != nil {
		return lost(err)
	}
	return true
}

// follow verifies what is new since the last time.
func (s *Service) follow(ctx context.Context) {
	for !s.broken {
		some, err := s.Storage.Trail().Range(ctx, s.seen, atOnce)
		if err != nil {
			return // the next time tells
		}
		for i := range some {
			s.verifier.Add(&some[i])
			s.seen = max(s.seen, some[i].Seq)
		}
		if found := s.verifier.Verdict().Finding; found != nil {
			s.broken = true
			s.Observer.AuditBroken(ctx, *found)
		}
		if len(some) < atOnce {
			return
		}
	}
}

func counted(name string, n int) map[string]string { return map[string]string{name: strconv.Itoa(n)} }

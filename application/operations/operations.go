// Package operations is how operators run the platform: which agents work, what they
// serve, what runs now and how much there is.
package operations

import (
	"context"
	"sync"
	"sync/atomic"
	"time"

	"agentapi/application/catalog"
	"agentapi/application/completion"
	"agentapi/application/routing"
	"agentapi/application/trail"
	"agentapi/application/vitals"
	"agentapi/domain/agent"
	"agentapi/ports"
)

// Params is what a Service works with.
type Params struct {
	Storage    ports.Storage
	Catalog    *catalog.Current
	Completion *completion.Service
	Vitals     *vitals.Service
	Routing    *routing.Service
	Audit      *trail.Recorder // nil: nothing is recorded
	Described  Described       // at first
	// Reload reads the configuration again; nil: it cannot be.
	Reload   func(context.Context) (Reloaded, error)
	Now      func() time.Time
	Random   func([]byte) // fills with random bytes
	Bulletin ports.Bulletin
	Every    time.Duration // between two looks for switches that other instances have turned
	Limit    time.Duration // for one of them
	Instance string        // this server process
	Version  string
}

// Service serves operators. It is safe for concurrent use. Whoever may not do
// something gets fault.Forbidden; what is another organisation's is fault.NotFound.
type Service struct {
	Params

	mu       sync.Mutex // held while switches are read or turned, until they are felt
	switches map[agent.Name]agent.Switch
	shown    atomic.Pointer[Described]
	resets   map[agent.Name]time.Time // that are felt
	begun    bool
	heard    chan struct{} // holds one while a switch may have been turned elsewhere
}

// Topic is what the bulletin calls turned switches.
const Topic = "agents"

// New makes a Service; Start must be called before requests are served.
func New(p Params) *Service {
	s := &Service{Params: p, switches: make(map[agent.Name]agent.Switch), resets: make(map[agent.Name]time.Time), heard: make(chan struct{}, 1)}
	s.shown.Store(&p.Described)
	return s
}

// Start learns which agents are out of service. It fails where the storage does not
// say: none of them must work.
func (s *Service) Start(ctx context.Context) error { return s.look(ctx) }

// Run follows what other instances do, until ctx ends: it looks when it hears of
// something, and every Params.Every. While the storage is away
// everything stays as it is.
func (s *Service) Run(ctx context.Context) {
	tick := time.NewTicker(s.Every)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		case <-s.heard:
		}
		limited, cancel := context.WithTimeout(ctx, s.Limit)
		_ = s.look(limited) // readiness tells of a storage that is away
		cancel()
	}
}

// Hear has Run look now, since another instance may have turned a switch.
func (s *Service) Hear() {
	select {
	case s.heard <- struct{}{}:
	default: // it will look anyway
	}
}

// look reads the switches and has them felt.
func (s *Service) look(ctx context.Context) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.learn(ctx)
}

// learn is look for who holds the mutex.
func (s *Service) learn(ctx context.Context) error {
	all, err := s.Storage.Switches().All(ctx)
	if err != nil {
		return err
	}
	clear(s.switches)
	for _, w := range all {
		s.switches[w.Agent] = w
	}
	s.feel()
	return nil
}

// feel has the switches felt by requests that come from now on.
func (s *Service) feel() {
	off := make(map[agent.Name]agent.Verdict)
	for name, w := range s.switches {
		switch {
		case w.Off:
			off[name] = agent.Disabled
		case w.Drained:
			off[name] = agent.Drained
		}
	}
	s.Catalog.Now().Switch(off)
	for name, w := range s.switches {
		if at := s.resets[name]; !w.Reset.Equal(at) {
			if s.resets[name] = w.Reset; s.begun { // who has just begun has nothing to forget
				s.restore(name)
			}
		}
	}
	s.begun = true
}

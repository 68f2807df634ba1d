// Package memory keeps everything in this process's memory and nothing after
// its end. It is the reference that the other storages are held to, and the
// storage of a server that shall keep nothing.
package memory

import (
	"context"
	"slices"
	"sync"

	"agentapi/domain/agent"
	"agentapi/domain/fault"
	"agentapi/domain/job"
	"agentapi/domain/session"
	"agentapi/domain/tenancy"
	"agentapi/ports"
)

// Options configures a Store.
type Options struct {
	// MaxSessions is how many sessions are kept; the oldest are forgotten with
	// their turns, and so are the oldest idempotency keys and usage records.
	MaxSessions int `yaml:"max_sessions" doc:"how many sessions are kept; the oldest are forgotten"`
	// MaxBytes is how much the kept turns may hold, roughly; the results of
	// idempotency keys may hold as much again.
	MaxBytes int `yaml:"max_bytes" doc:"how many bytes of messages are kept; the oldest sessions are forgotten"`
}

// SetDefaults fills in what a configuration may leave out.
func (o *Options) SetDefaults() { o.MaxSessions, o.MaxBytes = 100_000, 64<<20 }

// Validate refuses options that make no sense.
func (o *Options) Validate() error {
	if o.MaxSessions < 1 {
		return fault.Invalidf("max_sessions", "out_of_range", "max_sessions must be at least 1")
	}
	if o.MaxBytes < 1 {
		return fault.Invalidf("max_bytes", "out_of_range", "max_bytes must be at least 1")
	}
	return nil
}

// owner is whose something is.
type owner struct {
	org  tenancy.OrgID
	user tenancy.UserID
}

// Store is a ports.Storage in memory. One mutex serialises everything: no call
// waits for anything else, so it is held for microseconds.
type Store struct {
	max, maxBytes int

	repositories              // of which each call is its own transaction
	within       repositories // what a transaction is given

	mu       sync.Mutex
	running  bool     // a transaction
	undo     []func() // of what it has done
	sessions table
	usage    account
	keys     keyring
	leases   map[string]lease
	agents   map[agent.Name]agent.Stored
	changes  []agent.Change // of agents' health, by id; at most maxChanges
	switches map[agent.Name]*agent.Switch
	register register
	rolls    rolls
	jobs     map[job.ID]*job.Job
	log      log
	purse    purse
}

var _ ports.Storage = (*Store)(nil)

// Open makes an empty store.
func Open(o Options) (*Store, error) {
	s := &Store{
		max: o.MaxSessions, maxBytes: o.MaxBytes, usage: newAccount(o.MaxSessions), keys: newKeyring(o.MaxSessions, o.MaxBytes), leases: make(map[string]lease),
		agents:   make(map[agent.Name]agent.Stored),
		switches: make(map[agent.Name]*agent.Switch),
		register: newRegister(),
		rolls:    newRolls(),
		jobs:     make(map[job.ID]*job.Job),
		purse:    newPurse(),
		log:      newLog(o.MaxBytes / logShare),
		sessions: table{byID: make(map[session.ID]*record), byKey: make(map[keyOf]*record), byOwner: make(map[owner][]session.ID)},
	}
	s.repositories, s.within = s.open(autocommit{s}), s.open(held{})
	return s, nil
}

// Ready reports whether the store answers, which it does.
func (s *Store) Ready(ctx context.Context) error { return ended(ctx) }

// inside marks the context of a transaction's function.
type inside struct{}

// Atomically runs fn under the mutex and undoes what it did when it fails.
func (s *Store) Atomically(ctx context.Context, fn func(context.Context, ports.Repositories) error) (err error) {
	if err := outside(ctx); err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.running = true
	committed := false
	defer func() {
		if !committed { // also when fn panics
			for _, undo := range slices.Backward(s.undo) {
				undo()
			}
		}
		clear(s.undo)
		s.undo, s.running = s.undo[:0], false
	}()
	if err := fn(context.WithValue(ctx, inside{}, true), &s.within); err != nil {
		return err
	}
	if err := ended(ctx); err != nil {
		return err
	}
	committed = true
	s.evict()
	return nil
}

// repositories are the collections, which get hold of the store in one way.
type repositories struct {
	sessions    ports.Sessions
	usage       ports.Usage
	idempotency ports.Idempotency
	directory   ports.Directory
	roster      ports.Roster
	jobs        ports.Jobs
	audit       ports.Audit
	budgets     ports.Budgets
	switches    ports.Switches
}

// open gives the collections that get hold of the store with l.
func (s *Store) open(l locker) repositories {
	d := directory{s, l}
	return repositories{
		sessions: sessions{s, l}, usage: usages{s, l}, idempotency: idempotencies{s, l}, directory: d, roster: rosters{d}, jobs: jobs{d},
		audit: audits{s, l}, budgets: budgets{d}, switches: switches{s, l},
	}
}

// Sessions is the collection of conversations.
func (r *repositories) Sessions() ports.Sessions { return r.sessions }

// Usage is the account of what was consumed.
func (r *repositories) Usage() ports.Usage { return r.usage }

// Idempotency is the memory of keyed requests.
func (r *repositories) Idempotency() ports.Idempotency { return r.idempotency }

// Directory is who there is.
func (r *repositories) Directory() ports.Directory { return r.directory }

// Roster is what identity providers say.
func (r *repositories) Roster() ports.Roster { return r.roster }

// Jobs is what is done in the background.
func (r *repositories) Jobs() ports.Jobs { return r.jobs }

// Audit is the audit log.
func (r *repositories) Audit() ports.Audit { return r.audit }

// Budgets keeps what may be spent.
func (r *repositories) Budgets() ports.Budgets { return r.budgets }

// Switches keeps which agents are out of service.
func (r *repositories) Switches() ports.Switches { return r.switches }

// locker is how a repository call gets hold of the store.
type locker interface {
	// enter returns what ends the call.
	enter(ctx context.Context) (leave func(), err error)
}

type autocommit struct{ s *Store }

func (a autocommit) enter(ctx context.Context) (func(), error) {
	if err := outside(ctx); err != nil {
		return nil, err
	}
	a.s.mu.Lock()
	return func() {
		a.s.evict()
		a.s.mu.Unlock()
	}, nil
}

type held struct{}

func (held) enter(ctx context.Context) (func(), error) { return func() {}, ended(ctx) }

// evict forgets what is beyond the bounds. It runs after commits only, so that
// nothing that a failed transaction added drives out what is kept.
func (s *Store) evict() {
	s.sessions.evict(s.max, s.maxBytes)
	s.usage.evict()
	s.keys.evict()
	s.log.evict()
}

// onUndo has f called should the running transaction fail.
func (s *Store) onUndo(f func()) {
	if s.running {
		s.undo = append(s.undo, f)
	}
}

// forbidden refuses a write without an owner.
func forbidden() error {
	return fault.New(fault.Forbidden, "This belongs to a user, and no user is acting.")
}

// outside refuses the use of the store itself within a transaction, which would
// wait for itself for ever, and a context that has ended.
func outside(ctx context.Context) error {
	if ctx.Value(inside{}) != nil {
		return fault.Internalf("the storage was used inside its own transaction")
	}
	return ended(ctx)
}

func ended(ctx context.Context) error {
	switch ctx.Err() {
	case nil:
		return nil
	case context.DeadlineExceeded:
		return fault.Wrap(fault.Timeout, ctx.Err(), "The time for the storage was up.")
	default:
		return fault.Wrap(fault.Canceled, ctx.Err(), "The request was cancelled.")
	}
}

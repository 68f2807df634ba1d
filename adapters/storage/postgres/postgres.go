// Package postgres keeps everything in PostgreSQL, for many servers at once. The
// database itself keeps tenants apart, below what the repositories do.
package postgres

import (
	"context"
	"fmt"
	"sync"
	"time"

	"agentapi/adapters/storage/bunstore"
	"agentapi/domain/fault"
	"agentapi/migrations"
	"agentapi/ports"
)

// Store is a ports.Storage in a PostgreSQL database. Start connects, Stop lets go.
// It is never anything else in its place: where the database is away, calls are
// fault.Unavailable until it is back.
type Store struct {
	bunstore.Outer
	o        Options
	settings string // that a transaction begins with
	number   int64  // of the writer's last transaction
	planned  int    // jobs that its plans have served
	replan   int    // of how many they are to be made anew

	mu     sync.RWMutex // guards what follows
	reads  *pool
	writes *pool
	commit *bunstore.Committer

	beat   context.CancelFunc
	beaten sync.WaitGroup
}

var _ ports.Storage = (*Store)(nil)

// Open makes a Store; it dials nothing.
func Open(o Options) (*Store, error) {
	if err := o.resolve(); err != nil {
		return nil, err
	}
	s := &Store{o: o, replan: replan}
	// They are the transaction's own, since a session's do not survive a pooler. The
	// timeouts end what this process has begun, should it hang.
	s.settings = fmt.Sprintf("SELECT set_config('search_path', '%s, pg_temp', true), set_config('lock_timeout', '%d', true), "+
		"set_config('statement_timeout', '5s', true), set_config('idle_in_transaction_session_timeout', '10s', true)", o.Schema, patience.Milliseconds())
	s.Reads = func(ctx context.Context, read func(context.Context, *bunstore.Repositories) error) error {
		return s.ask(ctx, func(ctx context.Context, w *wire) error { return read(ctx, bunstore.Entering(w, kind, w.enter)) })
	}
	s.Writes = s.Atomically
	return s, nil
}

// writers is how many connections are for writing: the writer's own, one for looking
// after what that has lost, and one for what runs apart.
const writers = 3

// pause is how long a batch waits for those who came with the one before.
const pause = 4 * time.Millisecond

// Start connects, checks that the role, the server and the schema are what they
// must be, and makes this instance known. fault.Unavailable: something is not,
// with what to do about it.
func (s *Store) Start(ctx context.Context) (err error) {
	reads, err := newPool(&s.o, s.o.MaxConns-writers)
	if err != nil {
		return badURL()
	}
	writes, err := newPool(&s.o, writers)
	if err != nil {
		return badURL()
	}
	s.mu.Lock()
	s.reads, s.writes = reads, writes
	s.mu.Unlock()
	defer func() {
		if err != nil {
			s.close()
		}
	}()
	if err := s.check(ctx); err != nil {
		return err
	}
	s.mu.Lock()
	s.commit = bunstore.NewCommitter(bunstore.Writer{Begin: s.beginning(writes), Limit: s.o.Timeout, Pause: pause, Collided: collided})
	s.mu.Unlock()
	if err := s.live(ctx); err != nil {
		return err
	}
	beat, cancel := context.WithCancel(context.Background())
	s.beat = cancel
	s.beaten.Go(func() {
		tick := time.NewTicker(s.o.Lease / 3)
		defer tick.Stop()
		for {
			select {
			case <-beat.Done():
				return
			case <-tick.C:
				_ = s.live(beat) // the next one may succeed; meanwhile calls say why not
				s.align(beat, writes)
			}
		}
	})
	return nil
}

// live shows that this instance lives: every transaction does.
func (s *Store) live(ctx context.Context) error {
	return s.Atomically(ctx, func(context.Context, ports.Repositories) error { return nil })
}

// align has signs of life that are told of a time to come, since the database's clock was
// set back, count from the time that it is now: whoever is dead would live on until then.
// Who is writing just now says by itself how long it lives.
func (s *Store) align(ctx context.Context, writes *pool) {
	ctx, cancel := context.WithTimeout(ctx, s.o.Timeout)
	defer cancel()
	w := writes.wire(nil)
	defer w.release()
	w.add("BEGIN")
	w.add(s.settings)
	w.add("UPDATE instances SET until = clock_timestamp() + (until - seen_at), seen_at = clock_timestamp() " +
		"WHERE id IN (SELECT id FROM instances WHERE seen_at > clock_timestamp() FOR UPDATE SKIP LOCKED) AND until > seen_at")
	w.add(commit)
	_ = w.flush(ctx) // the next one may succeed
}

// Stop commits what waits and closes all connections. Calls after it are
// fault.Unavailable.
func (s *Store) Stop(ctx context.Context) error {
	s.mu.RLock()
	commit, writes := s.commit, s.writes
	s.mu.RUnlock()
	if s.beat != nil {
		s.beat()
		s.beaten.Wait()
	}
	if commit != nil {
		commit.Stop()
		s.retire(ctx, writes)
	}
	s.close()
	return nil
}

// retire has whatever this instance has claimed lapse at once, and forgets
// instances that ended long ago. Others take it for dead soon anyway.
func (s *Store) retire(ctx context.Context, writes *pool) {
	ctx, cancel := context.WithTimeout(ctx, s.o.Timeout)
	defer cancel()
	w := writes.wire(nil)
	defer w.release()
	w.add("BEGIN")
	w.add(s.settings)
	w.add("UPDATE instances SET until = '-infinity' WHERE id = '" + s.o.Instance + "'")
	w.add("DELETE FROM instances WHERE seen_at < now() - interval '1 day'")
	w.add(commit)
	_ = w.flush(ctx)
}

func (s *Store) close() {
	s.mu.Lock()
	reads, writes, commit := s.reads, s.writes, s.commit
	s.reads, s.writes, s.commit = nil, nil, nil // nobody new comes
	s.mu.Unlock()
	if commit != nil {
		commit.Stop()
	}
	reads.close()
	writes.close()
}

// Atomically runs fn in a transaction that is durable when it returns nil.
func (s *Store) Atomically(ctx context.Context, fn func(context.Context, ports.Repositories) error) error {
	s.mu.RLock()
	commit := s.commit
	s.mu.RUnlock()
	if commit == nil {
		return bunstore.Closed()
	}
	return s.Watched(ctx, "write", func(ctx context.Context) error { return commit.Atomically(ctx, fn) })
}

// ask runs a reading transaction, within the time that the database has to answer.
func (s *Store) ask(ctx context.Context, fn func(context.Context, *wire) error) error {
	s.mu.RLock()
	reads := s.reads
	s.mu.RUnlock()
	if reads == nil {
		return bunstore.Closed()
	}
	inner, cancel := context.WithTimeout(ctx, s.o.Timeout)
	defer cancel()
	w := reads.wire(nil)
	defer w.release()
	w.add("BEGIN READ ONLY")
	w.add(s.settings)
	err := w.ready(inner)
	if err == nil {
		err = fn(inner, w)
	}
	if w.sent {
		w.queue = w.queue[:0]
		w.add(commit)
		_ = w.flush(inner) // what was read was read
	}
	if err == nil || fault.As(err) != nil && (!fault.Is(err, fault.Timeout) || ctx.Err() != nil) {
		return err
	}
	if ctx.Err() == nil && inner.Err() != nil {
		return bunstore.Late(err)
	}
	return bunstore.Failed(ctx, err)
}

// Ready reports whether the database answers, can be written, and has a schema
// that serves this build.
func (s *Store) Ready(ctx context.Context) error {
	if err := bunstore.Outside(ctx); err != nil {
		return err
	}
	return s.ask(ctx, func(ctx context.Context, w *wire) error {
		var standby bool
		if err := w.QueryRowContext(ctx, "SELECT pg_is_in_recovery() OR current_setting('default_transaction_read_only') = 'on'").Scan(&standby); err != nil {
			return err
		}
		if standby {
			return fault.New(fault.Unavailable, "The database takes no writes now.").WithCode("storage_unavailable").WithRetryAfter(time.Second)
		}
		return migrations.Check(ctx, w, migrations.Postgres)
	})
}

// Package sqlite keeps everything in one file, for a server that stands alone.
package sqlite

import (
	"context"
	"database/sql"
	"errors"
	"net/url"
	"os"
	"path/filepath"

	"github.com/uptrace/bun"
	"github.com/uptrace/bun/dialect/sqlitedialect"
	_ "modernc.org/sqlite" // the database/sql driver of that name

	"agentapi/adapters/storage/bunstore"
	"agentapi/domain/fault"
	"agentapi/migrations"
	"agentapi/ports"
)

// Options configures a Store.
type Options struct {
	Path string `yaml:"path" doc:"the database file; agentapi.db in the data folder if absent"`
}

// Store is a ports.Storage in a file. Start opens it, Stop closes it.
type Store struct {
	bunstore.Outer
	path string

	lock   *lock
	reads  *bun.DB
	writes *bun.DB
	commit *bunstore.Committer
}

var _ ports.Storage = (*Store)(nil)

// Open makes a Store; it touches nothing.
func Open(o Options) (*Store, error) {
	if o.Path == "" {
		return nil, fault.Invalidf("path", "missing_required_parameter", "path: the database file is not named")
	}
	s := &Store{path: o.Path}
	s.Reads = func(ctx context.Context, read func(context.Context, *bunstore.Repositories) error) error {
		if s.reads == nil {
			return bunstore.Closed()
		}
		return read(ctx, bunstore.On(s.reads, kind))
	}
	s.Writes = s.Atomically
	return s, nil
}

// readers is how many reads run at once.
const readers = 4

// Start locks the file against other servers, opens it, and brings its schema
// up to date. fault.Unavailable: another server has it, or it cannot be opened.
func (s *Store) Start(ctx context.Context) (err error) {
	if err := os.MkdirAll(filepath.Dir(s.path), 0o700); err != nil {
		return unusable(err, s.path)
	}
	if s.lock, err = take(s.path + ".lock"); err != nil {
		return err
	}
	defer func() {
		if err != nil {
			s.close()
		}
	}()
	f, err := os.OpenFile(s.path, os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return unusable(err, s.path)
	}
	f.Close()
	// In memory: savepoints set pages aside, for the time of one statement or two. What
	// is deleted is overwritten, since an erased user's words shall be in no file.
	if s.writes, err = open(s.path, 1, "&_txlock=immediate&_pragma=temp_store(MEMORY)&_pragma=secure_delete(1)"); err != nil {
		return unusable(err, s.path)
	}
	if s.reads, err = open(s.path, readers, "&_pragma=query_only(1)"); err != nil {
		return unusable(err, s.path)
	}
	if _, err := migrations.Up(ctx, s.writes.DB, migrations.SQLite); err != nil {
		return err
	}
	s.commit = bunstore.NewCommitter(bunstore.Savepoints(s.writes, kind))
	// Whoever ran the requests that are marked as running held this lock, and is dead.
	return s.commit.Atomically(ctx, func(ctx context.Context, tx ports.Repositories) error {
		return tx.(*bunstore.Repositories).Lapse(ctx)
	})
}

func open(path string, conns int, more string) (*bun.DB, error) {
	// FULL: what is committed survives the machine's fall, too.
	dsn := "file:" + (&url.URL{Path: path}).EscapedPath() +
		"?_pragma=busy_timeout(5000)&_pragma=journal_mode(WAL)&_pragma=synchronous(FULL)&_pragma=foreign_keys(1)" + more
	db, err := sql.Open("sqlite", dsn)
	if err != nil {
		return nil, err
	}
	db.SetMaxOpenConns(conns)
	db.SetMaxIdleConns(conns)
	return bun.NewDB(db, sqlitedialect.New()), nil
}

func unusable(err error, path string) error {
	return fault.Wrap(fault.Unavailable, err, "The database file %s cannot be opened: %v.", path, reason(err)).
		WithCode("storage_unavailable").WithHint("Choose a folder that can be written with AGENTAPI_DATA_DIR, or keep nothing with: agentapi serve --memory")
}

// reason is what the system says, without the path that is named already.
func reason(err error) error {
	var at *os.PathError
	if errors.As(err, &at) {
		return at.Err
	}
	return err
}

// Stop commits what waits, which takes as long as one commit, and closes the
// file. Calls after it are fault.Unavailable.
func (s *Store) Stop(context.Context) error {
	s.close()
	return nil
}

func (s *Store) close() {
	if s.commit != nil {
		s.commit.Stop()
	}
	for _, db := range []*bun.DB{s.reads, s.writes} {
		if db != nil {
			_ = db.Close() // nothing is left to be lost
		}
	}
	s.lock.release()
}

// Atomically runs fn in a transaction that is durable when it returns nil.
func (s *Store) Atomically(ctx context.Context, fn func(context.Context, ports.Repositories) error) error {
	if s.commit == nil {
		return bunstore.Closed()
	}
	return s.Watched(ctx, "write", func(ctx context.Context) error { return s.commit.Atomically(ctx, fn) })
}

// Ready reports whether the file can be read and has the schema of this build.
func (s *Store) Ready(ctx context.Context) error {
	if s.reads == nil {
		return bunstore.Closed()
	}
	err := migrations.Check(ctx, s.reads.DB, migrations.SQLite)
	if err != nil && ctx.Err() != nil {
		return bunstore.Failed(ctx, ctx.Err())
	}
	return err
}

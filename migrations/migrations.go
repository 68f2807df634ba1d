// Package migrations owns the SQL schema: one set of steps for each dialect, and
// the version that this build needs.
package migrations

import (
	"context"
	"database/sql"
	"embed"
	"fmt"
	"io/fs"

	"github.com/pressly/goose/v3"

	"agentapi/domain/fault"
)

//go:embed sqlite/*.sql
var files embed.FS

// Dialect is a kind of SQL database.
type Dialect string

// SQLite is the dialect of files that this server owns.
const SQLite Dialect = "sqlite"

func provider(db *sql.DB, d Dialect) (*goose.Provider, error) {
	dir, err := fs.Sub(files, string(d))
	if err != nil {
		return nil, err
	}
	return goose.NewProvider(goose.DialectSQLite3, db, dir, goose.WithDisableGlobalRegistry(true))
}

// Up brings the schema to the version that this build needs.
// fault.Unavailable: it is newer already, or a step failed.
func Up(ctx context.Context, db *sql.DB, d Dialect) error {
	p, err := provider(db, d)
	if err != nil {
		return failed(err)
	}
	current, needed, err := p.GetVersions(ctx)
	if err != nil {
		return failed(err)
	}
	if current > needed {
		return newer(current, needed)
	}
	if current == needed {
		return nil
	}
	_, err = p.Up(ctx)
	return failed(err)
}

// Check reports nil where the schema is the one that this build needs. It
// changes nothing. fault.Unavailable: it is another, or cannot be told.
func Check(ctx context.Context, db *sql.DB, d Dialect) error {
	p, err := provider(db, d)
	if err != nil {
		return failed(err)
	}
	current, needed, err := p.GetVersions(ctx)
	switch {
	case err != nil:
		return failed(err)
	case current > needed:
		return newer(current, needed)
	case current < needed:
		return fault.New(fault.Unavailable, "The database has schema version %d; this build needs %d.", current, needed).WithCode("storage_unavailable")
	default:
		return nil
	}
}

func newer(current, needed int64) error {
	return fault.New(fault.Unavailable, "The database has schema version %d; this build knows %d at most.", current, needed).
		WithCode("storage_unavailable").WithHint("Start the newer build of agentapi that wrote it, or choose another data folder with AGENTAPI_DATA_DIR.")
}

func failed(err error) error {
	if err == nil {
		return nil
	}
	return fault.Wrap(fault.Unavailable, fmt.Errorf("migrations: %w", err), "The database's schema could not be read or brought up to date.").WithCode("storage_unavailable")
}

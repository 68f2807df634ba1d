package bootstrap

import (
	"context"
	"errors"
	"os"

	"agentapi/adapters/storage/bunstore"
	"agentapi/adapters/storage/postgres"
	"agentapi/adapters/storage/sqlite"
	"agentapi/domain/fault"
)

// Copy copies what the SQLite file at path holds into a PostgreSQL database, and
// tells how far it is. fault.Unavailable: a server uses the file, or either side
// is not what a server would start on.
func Copy(ctx context.Context, path string, to postgres.Options, tell func(bunstore.Progress)) (_ []bunstore.Copied, err error) {
	if _, err := os.Stat(path); err != nil {
		return nil, fault.Wrap(fault.Unavailable, err, "There is no database file %s.", path).WithCode("storage_unavailable").
			WithHint("Name it with --from, or its folder with AGENTAPI_DATA_DIR.")
	}
	source, err := sqlite.Open(sqlite.Options{Path: path})
	if err != nil {
		return nil, err
	}
	target, err := postgres.Open(to)
	if err != nil {
		return nil, err
	}
	if err := source.Start(ctx); err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, source.Stop(context.WithoutCancel(ctx))) }()
	if err := target.Start(ctx); err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, target.Stop(context.WithoutCancel(ctx))) }()
	return bunstore.Copy(ctx, source.Reads, target.Bulk, tell)
}

package sqlite

import (
	"database/sql"
	sqldriver "database/sql/driver"
	"errors"

	driver "modernc.org/sqlite"
	lib "modernc.org/sqlite/lib"

	"agentapi/domain/fault"
)

// kind tells what sort of failure an error of the database is.
func kind(err error) fault.Kind {
	var e *driver.Error
	if !errors.As(err, &e) {
		if errors.Is(err, sqldriver.ErrBadConn) || errors.Is(err, sql.ErrConnDone) || err.Error() == closedDB {
			return fault.Unavailable
		}
		return fault.Internal // a row that does not fit its type
	}
	const primary = 0xff // the rest of a code says more of the same
	switch code := e.Code(); {
	case code == lib.SQLITE_CONSTRAINT_UNIQUE, code == lib.SQLITE_CONSTRAINT_PRIMARYKEY:
		return fault.Conflict
	case code&primary == lib.SQLITE_CONSTRAINT, code&primary == lib.SQLITE_ERROR, code&primary == lib.SQLITE_MISMATCH:
		return fault.Internal
	default: // busy, full, not to be read, broken
		return fault.Unavailable
	}
}

// closedDB is what database/sql says after Close; it exports no error for it.
const closedDB = "sql: database is closed"

package postgres

import (
	"errors"
	"strings"

	"github.com/jackc/pgx/v5/pgconn"

	"agentapi/domain/fault"
)

// kind tells what sort of failure an error of the database is.
func kind(err error) fault.Kind {
	code := sqlstate(err)
	if code == "" {
		// What is no answer of the server is a broken connection, but for a row that
		// does not fit its type.
		if strings.HasPrefix(err.Error(), "sql: Scan error") || strings.HasPrefix(err.Error(), "sql: expected") {
			return fault.Internal
		}
		return fault.Unavailable
	}
	switch code[:2] {
	case "QB": // reserve_budgets
		return fault.QuotaExhausted
	case "23":
		if code == "23505" { // unique_violation
			return fault.Conflict
		}
		return fault.Internal
	case "22", "42", "0A", "2F":
		return fault.Internal
	default: // away, full, read-only, overloaded, in a deadlock, cut off
		return fault.Unavailable
	}
}

// sqlstate is the server's code for the error, or "" where it is not the server's.
func sqlstate(err error) string {
	var e *pgconn.PgError
	if errors.As(err, &e) && len(e.Code) == 5 {
		return e.Code
	}
	return ""
}

// collided tells an error that another instance's transaction caused, and that is
// gone when that has ended.
func collided(err error) bool {
	switch sqlstate(err) {
	case "40001", "40P01": // serialization_failure, deadlock_detected
		return true
	default:
		return false
	}
}

// blocked tells an error that says that another's lock was not waited for any longer.
func blocked(err error) bool { return sqlstate(err) == "55P03" }

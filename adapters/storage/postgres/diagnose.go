package postgres

import (
	"cmp"
	"context"
	"errors"
	"net"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"syscall"

	"agentapi/domain/fault"
)

// account is an address of the database with the role that logs in there.
type account struct {
	url   string
	named string // the variable that says it
	owner bool   // of the tables; else the server's own role
}

// diagnose says in one line why the database cannot be used, and what to do. The
// text of the error itself goes to the log only: it may hold what is secret.
func diagnose(err error, at account) error {
	if f := fault.As(err); f != nil && f.Hint != "" {
		return err
	}
	var (
		dns  *net.DNSError
		op   *net.OpError
		host = hostOf(at)
		say  = func(hint, format string, args ...any) error {
			return fault.Wrap(fault.Unavailable, err, format, args...).WithCode("storage_unavailable").WithHint(hint)
		}
	)
	switch code := sqlstate(err); {
	case code == "28P01" || code == "28000":
		if key := passwordOf(at.url); looksLikeKey(key) {
			return say("Use the database's own password, which the dashboard shows or resets under Database; a service-role key is for the REST API.",
				"The database refuses the login: a service-role key is no database password.")
		}
		hint := "Check user and password in DATABASE_URL; the server's own role is made by: agentapi migrate up"
		switch {
		case strings.HasPrefix(at.named, "SUPABASE_"):
			hint = "Check SUPABASE_DB_PASSWORD, and run after each change of it: agentapi migrate up"
		case at.owner:
			hint = "Migrations log in as the tables' owner: set DIRECT_URL to the address with that role and its password."
		}
		return say(hint, "The database refuses the login of %s.", userOf(at.url))
	case code == "3D000":
		return say("Create it, or name another in "+at.named+".", "There is no such database at %s.", host)
	case code == "42501":
		return say("Run it as the role that owns the tables: set DIRECT_URL to that role's address.", "The role %s may not do this: it is not the owner.", userOf(at.url))
	case code == "53300" || code == "53400":
		return say("Lower storage.postgres.max_conns, or put a pooler between.", "The database at %s has no connection left.", host)
	case code == "55P03":
		return say("Run it again when the transaction that holds the table has ended.", "The table is in use: the step waited 2 s for its lock and gave up.")
	case errors.Is(err, syscall.ENETUNREACH), errors.Is(err, syscall.EHOSTUNREACH), errors.Is(err, syscall.EADDRNOTAVAIL):
		if six(err) {
			hint := "Use an address that IPv4 reaches."
			if strings.HasSuffix(host, ".supabase.co") {
				hint = "Set SUPABASE_POOLER_HOST to the session pooler's host, which the dashboard shows under Connect; or use its address as DATABASE_URL."
			}
			return say(hint, "%s has an IPv6 address only, and this machine has no route to it.", host)
		}
		return say("Check the address in "+at.named+" and the network.", "There is no route to %s.", host)
	case errors.As(err, &dns):
		return say("Check the host name in "+at.named+".", "The host %s is not known.", host)
	case errors.Is(err, syscall.ECONNREFUSED):
		return say("Start PostgreSQL there, or check the address in "+at.named+".", "Nothing listens at %s.", placeOf(at))
	case errors.Is(err, context.DeadlineExceeded), errors.As(err, &op) && op.Timeout():
		return say("Check the address in "+at.named+" and the network.", "The database at %s does not answer.", host)
	case strings.Contains(err.Error(), "tls") || strings.Contains(err.Error(), "TLS"):
		return say("Set sslmode in "+at.named+" to what the server offers.", "No agreement on TLS with %s.", host)
	default:
		return say("See the log's cause, and check "+at.named+".", "The database at %s cannot be used.", host)
	}
}

// address finds the addresses that an error of a connection names.
var address = regexp.MustCompile(`dial tcp ([^ ]+):\d+`)

// six tells whether the connection was tried over IPv6 only.
func six(err error) bool {
	tried := address.FindAllStringSubmatch(err.Error(), -1)
	return len(tried) > 0 && !slices.ContainsFunc(tried, func(m []string) bool { return !strings.HasPrefix(m[1], "[") })
}

func hostOf(at account) string {
	if u, err := url.Parse(at.url); err == nil && u.Host != "" {
		return u.Hostname()
	}
	return "the address in " + at.named
}

// placeOf is the host with its port.
func placeOf(at account) string {
	if u, err := url.Parse(at.url); err == nil && u.Host != "" {
		return net.JoinHostPort(u.Hostname(), cmp.Or(u.Port(), "5432"))
	}
	return hostOf(at)
}

func userOf(address string) string {
	if u, err := url.Parse(address); err == nil && u.User != nil {
		return u.User.Username()
	}
	return "that user"
}

func passwordOf(address string) string {
	if u, err := url.Parse(address); err == nil && u.User != nil {
		p, _ := u.User.Password()
		return p
	}
	return ""
}

// badURL says that an address cannot be read, without showing it: the parser's
// words do.
func badURL() error {
	return fault.New(fault.Unavailable, "The database's address cannot be read.").WithCode("storage_unavailable").
		WithHint("Write DATABASE_URL as postgres://user:password@host:5432/database, with special characters of the password percent-encoded.")
}

package postgres

import (
	"errors"
	"net"
	"net/url"
	"os"
	"strings"
	"syscall"
	"testing"

	"github.com/jackc/pgx/v5/pgconn"

	"agentapi/domain/fault"
)

func TestAProjectIsReachedAsTheServersOwnRole(t *testing.T) {
	t.Parallel()
	open := func(s Supabase) (o Options) {
		t.Helper()
		o.SetDefaults()
		o.Supabase = s
		if err := o.resolve(); err != nil {
			t.Fatal(err)
		}
		return o
	}
	direct := open(Supabase{URL: "https://abc.supabase.co", Password: "p@ss/word"})
	pooled := open(Supabase{URL: "https://abc.supabase.co/", Password: "p@ss/word", PoolerHost: "aws-0-x.pooler.supabase.com"})
	for name, c := range map[string]struct{ address, user, host string }{
		"server":             {direct.URL, role, "db.abc.supabase.co:5432"},
		"owner":              {direct.DirectURL, "postgres", "db.abc.supabase.co:5432"},
		"server by a pooler": {pooled.URL, role + ".abc", "aws-0-x.pooler.supabase.com:6543"},
		"owner by a pooler":  {pooled.DirectURL, "postgres.abc", "aws-0-x.pooler.supabase.com:5432"},
	} {
		u, err := url.Parse(c.address)
		if err != nil || u.User.Username() != c.user || u.Host != c.host || u.Query().Get("sslmode") != "require" {
			t.Errorf("%s: got %s", name, c.address)
		}
		if password, _ := u.User.Password(); (password == "p@ss/word") != strings.HasPrefix(name, "owner") || password == "" {
			t.Errorf("%s: the password is %q", name, password)
		}
	}
	if direct.URL == open(Supabase{URL: "https://abc.supabase.co", Password: "other"}).URL {
		t.Error("the server's password does not follow the database's")
	}
	for _, s := range []Supabase{{URL: "https://abc.supabase.co"}, {URL: "https://abc.supabase.co", Password: "sb_secret_x"}, {URL: "x", Password: "p"}, {URL: "https://abc.supabase.co", Password: "p", PoolerHost: "aws-0-x.pooler.supabase.com:6543"}} {
		o := Options{Supabase: s}
		o.SetDefaults()
		if err := o.resolve(); !fault.Is(err, fault.Invalid) {
			t.Errorf("%+v: got %v", s, err)
		}
	}
}

func TestOptionsThatCannotBeAreRefused(t *testing.T) {
	t.Parallel()
	for param, change := range map[string]func(*Options){
		"schema": func(o *Options) { o.Schema = "a; DROP" }, "max_conns": func(o *Options) { o.MaxConns = 2 }, "lease": func(o *Options) { o.Lease = 1 }, "timeout": func(o *Options) { o.Timeout = 1 }, "url": func(o *Options) { o.URL = "" },
	} {
		o := Options{URL: "postgres://x"}
		o.SetDefaults()
		change(&o)
		if f := fault.As(o.Validate()); f == nil || f.Param != param {
			t.Errorf("%s: got %v", param, f)
		}
	}
	if got := withoutMarker("postgres://u:p@h:6543/d?pgbouncer=true&sslmode=require"); got != "postgres://u:p@h:6543/d?sslmode=require" {
		t.Errorf("got %s", got)
	}
	for _, address := range []string{"postgres://u:p@h:6543/d", "postgres://u:p@h/d?pgbouncer=true"} {
		if _, err := Migrate(t.Context(), Options{URL: address}); fault.As(err) == nil || !strings.Contains(fault.As(err).Message, "transaction pooler") {
			t.Errorf("%s: got %v", address, err)
		}
	}
}

// What to mend is said by the variable that was set.
func TestADiagnosisNamesTheVariableThatSaysIt(t *testing.T) {
	t.Parallel()
	const address = "postgres://u:p@127.0.0.1:5439/db"
	refused := &net.OpError{Op: "dial", Net: "tcp", Err: os.NewSyscallError("connect", syscall.ECONNREFUSED)}
	wrong := &pgconn.PgError{Code: "28P01"}
	for name, c := range map[string]struct {
		err         error
		at          account
		want, hints string
	}{
		"a port":        {refused, account{address, "DIRECT_URL", true}, "127.0.0.1:5439", "DIRECT_URL"},
		"no port":       {refused, account{"postgres://u@db/x", "DATABASE_URL", false}, "db:5432", "DATABASE_URL"},
		"the server":    {wrong, account{address, "DATABASE_URL", false}, "login of u", "migrate up"},
		"the migrator":  {wrong, account{address, "DATABASE_URL", true}, "login of u", "set DIRECT_URL"},
		"at Supabase":   {wrong, account{address, "SUPABASE_URL", true}, "login of u", "SUPABASE_DB_PASSWORD"},
		"no such thing": {&pgconn.PgError{Code: "3D000"}, account{address, "DIRECT_URL", true}, "no such database", "DIRECT_URL"},
	} {
		f := fault.As(diagnose(c.err, c.at))
		if f == nil || !strings.Contains(f.Message, c.want) || !strings.Contains(f.Hint, c.hints) {
			t.Errorf("%s: got %+v", name, f)
		}
	}
}

func TestAnAddressThatOnlyIPv6ReachesIsSaidToBe(t *testing.T) {
	t.Parallel()
	const address = "postgres://u:p@db.abc.supabase.co:5432/postgres"
	dial := func(host string, errno syscall.Errno) error {
		return &net.OpError{Op: "dial", Net: "tcp", Addr: &net.TCPAddr{IP: net.ParseIP(host), Port: 5432}, Err: os.NewSyscallError("connect", errno)}
	}
	for name, c := range map[string]struct {
		err        error
		want, hint string
	}{
		"no network":  {dial("2001:db8::1", syscall.ENETUNREACH), "IPv6 address only", "SUPABASE_POOLER_HOST"},
		"no route":    {dial("2001:db8::1", syscall.EHOSTUNREACH), "IPv6 address only", "SUPABASE_POOLER_HOST"},
		"IPv4":        {dial("192.0.2.1", syscall.EHOSTUNREACH), "no route to db.abc", "address"},
		"both failed": {errors.Join(dial("192.0.2.1", syscall.ECONNREFUSED), dial("2001:db8::1", syscall.ENETUNREACH)), "", ""},
	} {
		f := fault.As(diagnose(c.err, account{url: address, named: "DATABASE_URL"}))
		if f == nil || f.Kind != fault.Unavailable || !strings.Contains(f.Message, c.want) || !strings.Contains(f.Hint, c.hint) {
			t.Errorf("%s: got %+v", name, f)
		}
		if name == "both failed" && strings.Contains(f.Message, "IPv6") {
			t.Errorf("%s: it is not IPv6 alone: %s", name, f.Message)
		}
	}
}

package postgres

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"agentapi/domain/audit"
	"agentapi/domain/census"
	"agentapi/domain/chat"
	"agentapi/domain/fault"
	"agentapi/domain/idempotency"
	"agentapi/domain/page"
	"agentapi/domain/session"
	"agentapi/ports"
	"agentapi/ports/porttest"
	"agentapi/test/kit"
	server "agentapi/test/postgres"
)

// soon is within how much time a caller hears that the database is away; what is
// above 2 s is for a machine that is busy.
const soon = 2300 * time.Millisecond

// usual is the time that the database has where nothing else is configured.
const usual = 1500 * time.Millisecond

// load writes sessions from many goroutines, and remembers which were stored.
type load struct {
	s     *Store
	next  atomic.Uint32
	mu    sync.Mutex
	acked []session.ID
	open  []session.ID // of which it is not known
	slow  time.Duration
	odd   []error
	stop  chan struct{}
	all   sync.WaitGroup
}

func under(s *Store, writers int) *load {
	l := &load{s: s, stop: make(chan struct{})}
	for range writers {
		l.all.Go(func() {
			for {
				select {
				case <-l.stop:
					return
				default:
					if l.write() != nil {
						time.Sleep(5 * time.Millisecond) // as a client does that is told to come back
					}
				}
			}
		})
	}
	return l
}

func numbered(n uint32) *session.Session {
	at := time.Now()
	return session.New(session.NewID(at, [10]byte{1, byte(n), byte(n >> 8), byte(n >> 16), byte(n >> 24), byte(n)}), ann, session.Key{}, at)
}

func (l *load) write() error {
	n := l.next.Add(1)
	v := numbered(n)
	v.ID[15] = byte(n)
	turn := session.Turn{ID: session.NewTurnID(v.Created, [10]byte{2, byte(n), byte(n >> 8), byte(n >> 16)}), Message: chat.NewMessage(chat.User, "x"), Created: v.Created}
	begun := time.Now()
	err := l.s.Atomically(context.Background(), func(ctx context.Context, tx ports.Repositories) error {
		if err := tx.Sessions().Create(ctx, ann, v); err != nil {
			return err
		}
		return tx.Sessions().Append(ctx, ann, v.ID, 0, turn)
	})
	took := time.Since(begun)
	l.mu.Lock()
	defer l.mu.Unlock()
	l.slow = max(l.slow, took)
	switch {
	case err == nil:
		l.acked = append(l.acked, v.ID)
	case fault.Is(err, fault.Unavailable):
		l.open = append(l.open, v.ID)
	default:
		l.odd = append(l.odd, err)
	}
	return err
}

// count is how many writes were acknowledged up to now.
func (l *load) count() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return len(l.acked)
}

// end stops the load and checks that what was acknowledged is there, once, whole.
func (l *load) end(t *testing.T) {
	t.Helper()
	close(l.stop)
	l.all.Wait()
	for _, err := range l.odd {
		t.Errorf("got %v", err)
	}
	if l.slow > soon {
		t.Errorf("a caller waited %v", l.slow)
	}
	there := map[session.ID]int{}
	for q := (page.Query{Limit: 100}); ; {
		p, err := l.s.Sessions().List(t.Context(), ann, session.Filter{}, q)
		if err != nil {
			t.Fatal(err)
		}
		for _, v := range p.Items {
			if there[v.ID]++; v.Turns != 1 {
				t.Errorf("half of a transaction is there: %d turns", v.Turns)
			}
		}
		if !p.More {
			break
		}
		q.After = p.Items[len(p.Items)-1].ID.String()
	}
	lost := 0
	for _, id := range l.acked {
		if there[id] != 1 {
			lost++
		}
	}
	stored := 0
	for _, id := range l.open {
		stored += there[id]
	}
	if lost > 0 || len(there) != len(l.acked)+stored {
		t.Errorf("%d of %d are lost or doubled; there are %d, %d of %d undecided ones", lost, len(l.acked), len(there), stored, len(l.open))
	}
	t.Logf("%d acknowledged, 0 lost; %d refused, of which %d are stored; the longest wait %v", len(l.acked), len(l.open), stored, l.slow.Round(time.Millisecond))
}

// again waits until something is acknowledged that was not before.
func (l *load) again(t *testing.T, within time.Duration) {
	t.Helper()
	from, begun := l.count(), time.Now()
	if !kit.Soon(within, func() bool { return l.count() > from }) {
		t.Errorf("nothing is stored %v after the database is back", within)
	}
	t.Logf("serving again after %v", time.Since(begun).Round(time.Millisecond))
}

func TestADatabaseThatFailsIsSaidSoonAndRecoversFrom(t *testing.T) {
	outage := time.Duration(kit.Size(4, 10, 60)) * time.Second
	for name, spoil := range map[string]func(*server.Proxy){
		"down":       func(p *server.Proxy) { p.Down() },
		"hanging":    func(p *server.Proxy) { p.Toxic("timeout", "upstream", map[string]any{"timeout": 0}) },
		"no answers": func(p *server.Proxy) { p.Toxic("timeout", "downstream", map[string]any{"timeout": 0}) },
		"resetting":  func(p *server.Proxy) { p.Toxic("reset_peer", "downstream", map[string]any{"timeout": 0}) },
		"slow":       func(p *server.Proxy) { p.Toxic("latency", "downstream", map[string]any{"latency": 500, "jitter": 300}) },
		"narrow":     func(p *server.Proxy) { p.Toxic("bandwidth", "upstream", map[string]any{"rate": 1}) },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			d := server.Shared(t).Fresh(t)
			o := migrated(t, d)
			p := server.Before(t, d.Server.Addr)
			o.URL, o.Timeout = d.At(o.URL, p.Addr), usual
			s := start(t, o)
			l := under(s, 8)
			l.again(t, 5*time.Second)
			spoil(p)
			for until := time.Now().Add(outage); time.Now().Before(until); {
				begun := time.Now()
				_, err := s.Sessions().List(t.Context(), ann, session.Filter{}, page.Query{Limit: 1})
				if took := time.Since(begun); took > soon || err != nil && !fault.Is(err, fault.Unavailable) {
					t.Errorf("a read took %v and says %v", took, err)
				}
				if err := s.Ready(t.Context()); err == nil && name != "slow" && name != "narrow" {
					t.Error("it says that it is ready")
				}
				time.Sleep(50 * time.Millisecond)
			}
			p.Mend()
			l.again(t, 5*time.Second)
			if !kit.Soon(5*time.Second, func() bool { return s.Ready(t.Context()) == nil }) {
				t.Error("it is not ready again")
			}
			l.end(t)
		})
	}
}

func TestNothingIsLostOrDoubledWhenPostgresIsKilled(t *testing.T) {
	pg := server.New(t)
	d := pg.Fresh(t)
	o := migrated(t, d)
	o.Timeout = usual
	s := start(t, o)
	l := under(s, 32)
	for range kit.Size(3, 10, 50) {
		l.again(t, 5*time.Second)
		time.Sleep(100 * time.Millisecond)
		pg.Kill()
		time.Sleep(50 * time.Millisecond)
		if err := pg.Start(); err != nil {
			t.Fatal(err)
		}
		l.again(t, 5*time.Second)
	}
	pg.Signal(syscall.SIGINT) // it ends as for an upgrade
	time.Sleep(300 * time.Millisecond)
	pg.Kill()
	if err := pg.Start(); err != nil {
		t.Fatal(err)
	}
	l.again(t, 5*time.Second)
	l.end(t)
}

func TestACommitWhoseAnswerIsLostIsLookedUp(t *testing.T) {
	t.Parallel()
	d := server.Shared(t).Fresh(t)
	o := migrated(t, d)
	net := server.Cutting(t, d.Server.Addr)
	o.URL = d.At(o.URL, net.Addr)
	s := start(t, o)
	for i := range 20 {
		v := numbered(uint32(i))
		v.Key = session.Key{Source: "x", Value: fmt.Sprint(i)}
		net.Cut(string(v.ID[:]), i%2 == 0)
		ran := 0
		err := s.Atomically(t.Context(), func(ctx context.Context, tx ports.Repositories) error {
			ran++
			return tx.Sessions().Create(ctx, ann, v)
		})
		if err != nil || ran != 1 {
			t.Errorf("%d: got %v after %d runs", i, err, ran)
		}
		if _, err := s.Sessions().Get(t.Context(), ann, v.ID); err != nil {
			t.Errorf("%d: %v", i, err)
		}
	}
	if net.Cuts != 20 {
		t.Errorf("only %d connections were cut", net.Cuts)
	}
}

// A message may arrive when its sender has long found out that nothing is stored, and has
// sent it again or said so.
func TestACommitThatWasGivenUpStoresNothingLater(t *testing.T) {
	t.Parallel()
	d := server.Shared(t).Fresh(t)
	o := migrated(t, d)
	net := server.Cutting(t, d.Server.Addr)
	o.URL = d.At(o.URL, net.Addr)
	s := start(t, o)
	entry := recorded(t, 1, func(f *audit.Fields) { f.Request = "a request" })
	arrive := net.Hold("a request")
	if err := s.Audit().Append(t.Context(), entry); err != nil {
		t.Error(err)
	}
	arrive()
	if entries, err := s.Trail().Range(t.Context(), 0, 10); err != nil || len(entries) != 1 {
		t.Errorf("%d entries, %v", len(entries), err)
	}
}

func TestADatabaseThatCannotBeWrittenIsUnavailable(t *testing.T) {
	t.Parallel()
	pg := server.Shared(t)
	d := pg.Fresh(t)
	o := migrated(t, d)
	o.Timeout = usual
	s := start(t, o)
	furnished(t, s)
	kick := "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '" + d.Name + "' AND usename = '" + d.Role + "'"
	for name, c := range map[string]struct{ spoil, mend string }{
		"read-only":          {"ALTER DATABASE " + d.Name + " SET default_transaction_read_only = on", "ALTER DATABASE " + d.Name + " RESET default_transaction_read_only"},
		"out of connections": {"ALTER ROLE " + d.Role + " CONNECTION LIMIT 0", "ALTER ROLE " + d.Role + " CONNECTION LIMIT -1"},
		"locked out":         {"ALTER ROLE " + d.Role + " NOLOGIN", "ALTER ROLE " + d.Role + " LOGIN"},
	} {
		pg.Admin(t, "postgres", c.spoil, kick)
		err := s.Sessions().Create(t.Context(), ann, numbered(1))
		if f := fault.As(err); f == nil || f.Kind != fault.Unavailable || f.Code != "storage_unavailable" || f.RetryAfter == 0 {
			t.Errorf("%s: got %v", name, err)
		}
		if err := s.Ready(t.Context()); !fault.Is(err, fault.Unavailable) {
			t.Errorf("%s: ready says %v", name, err)
		}
		pg.Admin(t, "postgres", c.mend, kick)
		if !kit.Soon(5*time.Second, func() bool { return s.live(t.Context()) == nil && s.Ready(t.Context()) == nil }) {
			t.Errorf("%s: it does not recover", name)
		}
	}
}

func TestARoleOrAServerThatBreaksThePromisesStopsTheStart(t *testing.T) {
	t.Parallel()
	pg := server.Shared(t)
	for name, c := range map[string]struct{ spoil, want string }{
		"superuser":          {"ALTER ROLE %s SUPERUSER", "is a superuser"},
		"bypass":             {"ALTER ROLE %s BYPASSRLS", "bypasses row-level security"},
		"member of owner":    {"GRANT %[2]s TO %[1]s", "owns the tables"},
		"synchronous_commit": {"ALTER ROLE %s SET synchronous_commit = off", "synchronous_commit off"},
		"read-only":          {"ALTER ROLE %s SET default_transaction_read_only = on", "takes no writes"},
		"not forced":         {"ALTER TABLE agentapi.usage NO FORCE ROW LEVEL SECURITY", "without forced row-level security"},
		"no rights":          {"REVOKE USAGE ON SCHEMA agentapi FROM %s", "no schema agentapi that the role"},
		"strings":            {"ALTER ROLE %s SET standard_conforming_strings = off", "cannot be used"},
	} {
		d := pg.Fresh(t)
		o := migrated(t, d)
		statement := c.spoil
		if strings.Contains(statement, "%") {
			statement = fmt.Sprintf(strings.Replace(statement, "%s", "%[1]s", 1)+"%.0[1]s%.0[2]s", d.Role, d.Name)
		}
		pg.Admin(t, d.Name, statement)
		s, err := Open(o)
		if err != nil {
			t.Fatal(err)
		}
		err = s.Start(t.Context())
		if f := fault.As(err); f == nil || f.Kind != fault.Unavailable || !strings.Contains(f.Message, c.want) || f.Hint == "" {
			t.Errorf("%s: got %v", name, err)
		}
		if _, err := s.Sessions().Get(t.Context(), ann, numbered(1).ID); !fault.Is(err, fault.Unavailable) {
			t.Errorf("%s: it serves all the same: %v", name, err)
		}
		if name == "synchronous_commit" {
			o.AllowLoss = true
			start(t, o)
		}
		if name == "member of owner" {
			pg.Admin(t, d.Name, "REVOKE "+d.Name+" FROM "+d.Role)
		}
	}
	f := facts{version: 150000, fsync: "off", synchronous: "on", mayUse: true}
	if err := f.refuse(&Options{}); err == nil {
		t.Error("fsync may be off")
	}
	if err := f.refuse(&Options{AllowLoss: true}); err != nil {
		t.Errorf("asked for aloud: %v", err)
	}
	if f.version, f.fsync = 130000, "on"; f.refuse(&Options{}) == nil {
		t.Error("an old server will do")
	}
}

// two is two servers on one database; each call goes to the other one.
type two struct {
	stores [2]*Store
	n      atomic.Uint32
}

func (p *two) next() *Store                   { return p.stores[p.n.Add(1)%2] }
func (p *two) Sessions() ports.Sessions       { return p.next().Sessions() }
func (p *two) Usage() ports.Usage             { return p.next().Usage() }
func (p *two) Idempotency() ports.Idempotency { return p.next().Idempotency() }
func (p *two) Upkeep() ports.Upkeep           { return p.next().Upkeep() }
func (p *two) Agents() ports.Agents           { return p.next().Agents() }
func (p *two) Switches() ports.Switches       { return p.next().Switches() }
func (p *two) Budgets() ports.Budgets         { return p.next().Budgets() }
func (p *two) Census(ctx context.Context, at time.Time, most int64) (census.Census, error) {
	return p.next().Census(ctx, at, most)
}
func (p *two) Directory() ports.Directory { return p.next().Directory() }
func (p *two) Roster() ports.Roster       { return p.next().Roster() }
func (p *two) Jobs() ports.Jobs           { return p.next().Jobs() }
func (p *two) Audit() ports.Audit         { return p.next().Audit() }
func (p *two) Trail() ports.Trail         { return p.next().Trail() }
func (p *two) Ready(ctx context.Context) error {
	return p.next().Ready(ctx)
}
func (p *two) Atomically(ctx context.Context, fn func(context.Context, ports.Repositories) error) error {
	return p.next().Atomically(ctx, fn)
}

func TestTwoServersShareADatabase(t *testing.T) {
	open := func(t *testing.T) ports.Storage {
		o := migrated(t, server.Shared(t).Fresh(t))
		return &two{stores: [2]*Store{start(t, o), start(t, o)}}
	}
	porttest.Storage(t, open)
	porttest.StorageConcurrency(t, open)
}

func TestWhatADeadServerClaimedIsFree(t *testing.T) {
	t.Parallel()
	o := migrated(t, server.Shared(t).Fresh(t))
	o.Lease = 3 * time.Second
	claim := func(s *Store, key string) (idempotency.Outcome, error) {
		at := time.Now()
		return s.Idempotency().Claim(t.Context(), ann, idempotency.Claim{Key: idempotency.NewKey("r", key), Owner: s.o.Instance, At: at, Until: at.Add(time.Hour)})
	}
	alive := start(t, o)
	dead := start(t, o)
	if _, err := claim(dead, "k"); err != nil {
		t.Fatal(err)
	}
	dead.beat() // no more signs of life, and no farewell
	dead.beaten.Wait()
	dead.close()
	if _, err := claim(alive, "k"); !fault.Is(err, fault.Conflict) {
		t.Errorf("at once: got %v", err)
	}
	if !kit.Soon(6*time.Second, func() bool {
		out, err := claim(alive, "k")
		return err == nil && out.Claimed
	}) {
		t.Error("a dead server keeps its claim")
	}
	time.Sleep(o.Lease + time.Second)
	if _, err := claim(start(t, o), "k"); !fault.Is(err, fault.Conflict) {
		t.Errorf("a server that lives and idles loses its claim: %v", err)
	}
	if _, err := claim(alive, "other"); err != nil {
		t.Fatal(err)
	}
	if err := alive.Stop(t.Context()); err != nil {
		t.Fatal(err)
	}
	if out, err := claim(start(t, o), "other"); err != nil || !out.Claimed {
		t.Errorf("a server that has said farewell keeps its claim: %v", err)
	}
}

// The first commit hangs, and the start gives up before the writer does.
func TestAStartWhoseFirstCommitHangsIsRefused(t *testing.T) {
	t.Parallel()
	d := server.Shared(t).Fresh(t)
	o := migrated(t, d)
	busy, err := login(t, d.Owner).Conn(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer busy.Close()
	if _, err := busy.ExecContext(t.Context(), "BEGIN; LOCK TABLE agentapi.instances IN ACCESS EXCLUSIVE MODE"); err != nil {
		t.Fatal(err)
	}
	s, err := Open(o)
	if err != nil {
		t.Fatal(err)
	}
	begun := time.Now()
	if err := s.Start(t.Context()); !fault.Is(err, fault.Unavailable) || time.Since(begun) > 5*time.Second {
		t.Errorf("after %v: %v", time.Since(begun), err)
	}
}

package postgres

import (
	"strings"
	"sync"
	"testing"
	"time"

	"agentapi/domain/fault"
	server "agentapi/test/postgres"
)

func migrate(t *testing.T, o Options) (*Migrator, error) {
	t.Helper()
	m, err := Migrate(t.Context(), o)
	if err == nil {
		t.Cleanup(m.Close)
	}
	return m, err
}

func TestWhoIsNotTheOwnerIsToldSo(t *testing.T) {
	t.Parallel()
	o := migrated(t, server.Shared(t).Fresh(t))
	o.DirectURL = o.URL
	m, err := migrate(t, o)
	if err != nil {
		t.Fatal(err)
	}
	_, err = m.Down(t.Context())
	if f := fault.As(err); sqlstate(err) != "42501" || f == nil || !strings.Contains(f.Message, "not the owner") || !strings.Contains(f.Hint, "DIRECT_URL") {
		t.Errorf("got %v", err)
	}
}

func TestOfManyThatMigrateAtOnceOneDoes(t *testing.T) {
	t.Parallel()
	d := server.Shared(t).Fresh(t)
	o := Options{URL: d.App, DirectURL: d.Owner}
	o.SetDefaults()
	first, err := migrate(t, o)
	if err != nil {
		t.Fatal(err)
	}
	var (
		all     sync.WaitGroup
		mu      sync.Mutex
		applied int
	)
	for range 4 {
		m, err := migrate(t, o)
		if err != nil {
			t.Fatal(err)
		}
		all.Go(func() {
			err := m.Up(t.Context(), func(what string) {
				if strings.HasPrefix(what, "applied") {
					mu.Lock()
					applied++
					mu.Unlock()
				}
			})
			if err != nil {
				t.Error(err)
			}
		})
	}
	all.Wait()
	if steps, err := first.Status(t.Context()); err != nil || applied != len(steps) || steps[0].Applied.IsZero() {
		t.Errorf("%d times a step was applied; %+v, %v", applied, steps, err)
	}
	start(t, o)
}

func TestAStepDoesNotWaitForALockForLong(t *testing.T) {
	t.Parallel()
	d := server.Shared(t).Fresh(t)
	o := migrated(t, d)
	busy, err := login(t, d.Owner).Conn(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	// Every table that a step may be about is in use.
	const use = `BEGIN; DO $$ DECLARE name text; BEGIN
		FOR name IN SELECT tablename FROM pg_tables WHERE schemaname = 'agentapi' AND tablename NOT LIKE 'goose%' LOOP
			EXECUTE format('LOCK TABLE agentapi.%I IN SHARE ROW EXCLUSIVE MODE', name);
		END LOOP; END $$`
	if _, err := busy.ExecContext(t.Context(), use); err != nil {
		t.Fatal(err)
	}
	m, err := migrate(t, o)
	if err != nil {
		t.Fatal(err)
	}
	var begun time.Time
	for range 5 { // the last steps may be about no table
		begun = time.Now()
		if _, err = m.Down(t.Context()); err != nil {
			break
		}
	}
	if f := fault.As(err); f == nil || !strings.Contains(f.Message, "in use") || time.Since(begun) > 4*time.Second {
		t.Errorf("after %v: %v", time.Since(begun), err)
	}
	if err := busy.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := m.Down(t.Context()); err != nil {
		t.Error(err)
	}
}

// What a backup that was restored under another owner has: policies for the one before.
func TestPoliciesForAnotherThanTheOwnerAreSeenAndMended(t *testing.T) {
	t.Parallel()
	d := server.Shared(t).Fresh(t)
	o := migrated(t, d)
	before, reader := d.Name+"_before", d.Name+"_reader"
	d.Server.Admin(t, d.Name, "CREATE ROLE "+before+" NOLOGIN", "ALTER POLICY find ON agentapi.api_keys TO "+before, "ALTER POLICY open_see ON agentapi.jobs TO "+before,
		"CREATE ROLE "+reader+" NOLOGIN", "CREATE POLICY reads ON agentapi.usage FOR SELECT TO "+reader+" USING (true)")
	s, err := Open(o)
	if err != nil {
		t.Fatal(err)
	}
	if f := fault.As(s.Probe(t.Context())); f == nil || !strings.Contains(f.Message, "2 of the policies") || f.Hint != "Run, with DIRECT_URL for the owner: agentapi migrate up" {
		t.Errorf("got %+v", f)
	}
	m, err := migrate(t, o)
	if err != nil {
		t.Fatal(err)
	}
	var said []string
	if err := m.Up(t.Context(), func(what string) { said = append(said, what) }); err != nil || len(said) != 1 || !strings.Contains(said[0], "2 policies") {
		t.Errorf("it did %q, %v", said, err)
	}
	if err := s.Probe(t.Context()); err != nil {
		t.Error(err)
	}
	db := login(t, d.Owner)
	if to := one[string](t, db, "SELECT polroles[1]::regrole::text FROM pg_policy WHERE polname = 'reads'"); to != reader {
		t.Errorf("what somebody else lets %s read is %s's", reader, to)
	}
	if names := one[string](t, db, `SELECT string_agg(DISTINCT quote_literal(p.polname), ', ' ORDER BY quote_literal(p.polname))
		FROM pg_policy p JOIN pg_class c ON c.oid = p.polrelid WHERE c.relnamespace = 'agentapi'::regnamespace AND c.relowner = ANY (p.polroles)`); names != ownersPolicies {
		t.Errorf("the owner's policies are %s; the start checks %s", names, ownersPolicies)
	}
	d.Server.Admin(t, d.Name, "DROP ROLE "+before, "DROP POLICY reads ON agentapi.usage", "DROP ROLE "+reader) // nothing depends on them any more
}

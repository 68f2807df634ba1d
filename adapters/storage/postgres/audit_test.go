package postgres

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"agentapi/domain/audit"
	"agentapi/domain/fault"
	"agentapi/domain/page"
	"agentapi/domain/session"
	"agentapi/ports"
	server "agentapi/test/postgres"
)

func recorded(t *testing.T, n byte, change ...func(*audit.Fields)) audit.Entry {
	t.Helper()
	at := time.Now()
	f := audit.Fields{
		ID: audit.NewID(at, [10]byte{n}), Org: ann.Org(), Actor: audit.System, Action: audit.SessionCreated, Outcome: audit.OK, Instance: "i", At: at,
	}
	for _, c := range change {
		c(&f)
	}
	e, err := audit.New(f)
	if err != nil {
		t.Fatal(err)
	}
	return e
}

// The server's role may append, and nothing else; whoever may more is stopped by
// the triggers, as long as they do not take those away.
func TestTheAuditLogOnlyGrows(t *testing.T) {
	t.Parallel()
	pg := server.Shared(t)
	d := pg.Fresh(t)
	s := start(t, migrated(t, d))
	if err := s.Audit().Append(t.Context(), recorded(t, 1), recorded(t, 2)); err != nil {
		t.Fatal(err)
	}
	if err := s.Trail().Checkpoint(t.Context(), audit.Checkpoint{Size: 2, Note: "x"}); err != nil {
		t.Fatal(err)
	}
	app, owner, admin := login(t, d.App), login(t, d.Owner), pg.Look(t, d.Name)
	execute(t, owner, "SET agentapi.audit = 'on'") // of its one connection
	execute(t, app, "SET agentapi.audit = 'on'")
	for _, statement := range []string{
		"UPDATE agentapi.audit SET actor = 'x'", "DELETE FROM agentapi.audit", "TRUNCATE agentapi.audit",
		"UPDATE agentapi.audit_checkpoints SET size = 1", "DELETE FROM agentapi.audit_checkpoints", "TRUNCATE agentapi.audit_checkpoints",
	} {
		if _, err := app.ExecContext(t.Context(), statement); err == nil || !strings.Contains(err.Error(), "permission denied") {
			t.Errorf("the server's role: %s: %v", statement, err)
		}
		if _, err := admin.ExecContext(t.Context(), statement); err == nil || !strings.Contains(err.Error(), "only grows") {
			t.Errorf("a superuser: %s: %v", statement, err)
		}
	}
	const row = "INSERT INTO agentapi.audit SELECT chain, seq + 7, org_id, org_seq + 7, id, at_us, actor, action, target, outcome, request, instance, canon, prev, hash FROM agentapi.audit LIMIT 1"
	if _, err := app.ExecContext(t.Context(), row); err == nil || !strings.Contains(err.Error(), "permission denied") {
		t.Errorf("the server's role puts in what was not chained: %v", err)
	}
	if n := one[int](t, app, "SELECT count(*) FROM agentapi.audit"); n != 2 {
		t.Errorf("%d entries", n)
	}
}

func TestAnOrganisationSeesItsOwnEntries(t *testing.T) {
	t.Parallel()
	d := server.Shared(t).Fresh(t)
	s := start(t, migrated(t, d))
	eves := recorded(t, 2, func(f *audit.Fields) { f.Org = eve.Org() })
	if err := s.Audit().Append(t.Context(), recorded(t, 1), eves, recorded(t, 3)); err != nil {
		t.Fatal(err)
	}
	app := login(t, d.App)
	for org, want := range map[string]int{ann.Org().UUID(): 2, eve.Org().UUID(): 1, "": 0} {
		execute(t, app, "SET agentapi.org_id = '"+org+"'")
		if n := one[int](t, app, "SELECT count(*) FROM agentapi.audit"); n != want {
			t.Errorf("%q sees %d entries", org, n)
		}
	}
	found, err := s.Trail().List(t.Context(), audit.Filter{Org: eve.Org()}, page.Query{Limit: 10})
	if err != nil || len(found.Items) != 1 || found.Items[0].Columns.ID != eves.ID() {
		t.Errorf("%+v, %v", found, err)
	}
}

// Where nothing can be recorded, nothing is done.
func TestWithoutTheAuditLogNothingIsStored(t *testing.T) {
	t.Parallel()
	pg := server.Shared(t)
	d := pg.Fresh(t)
	s := start(t, migrated(t, d))
	pg.Admin(t, d.Name, "ALTER FUNCTION agentapi.audit_append RENAME TO audit_append_away")
	at := time.Now()
	v := session.New(session.NewID(at, [10]byte{9}), ann, session.Key{}, at)
	do := func() error {
		return s.Atomically(t.Context(), func(ctx context.Context, tx ports.Repositories) error {
			return errors.Join(tx.Sessions().Create(ctx, ann, v), tx.Audit().Append(ctx, recorded(t, 1)))
		})
	}
	if f := fault.As(do()); f == nil || f.Kind != fault.Unavailable || f.Code != "audit_unavailable" {
		t.Errorf("got %v", f)
	}
	if _, err := s.Sessions().Get(t.Context(), ann, v.ID); !fault.Is(err, fault.NotFound) {
		t.Errorf("it is stored all the same: %v", err)
	}
	pg.Admin(t, d.Name, "ALTER FUNCTION agentapi.audit_append_away RENAME TO audit_append")
	if err := do(); err != nil {
		t.Error(err)
	}
	if head, err := s.Trail().Head(t.Context()); err != nil || head.Seq != 1 {
		t.Errorf("%+v, %v", head, err)
	}
}
